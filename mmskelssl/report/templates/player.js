/* Plays skeleton clips on a canvas. Used by the report and by `mmskelssl browse --html`.
 *
 * A Stage is a clock and a camera that several players share. mmskelssl/report/clips.py describes the format of a clip.
 */
'use strict';
const Skeleton = (() => {
  const UNSEEN = -32768, TURN = Math.PI / 18, KEPT = 120;
  const still = matchMedia('(prefers-reduced-motion: reduce)');

  // ---- clips ----

  function bytesOf(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }

  async function unpack(text) {
    const bytes = bytesOf(text);
    if (typeof DecompressionStream === 'undefined') return inflate(bytes);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163,
    195, 227, 258];
  const LENGTH_BITS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
  const FAR = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
    4097, 6145, 8193, 12289, 16385, 24577];
  const FAR_BITS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

  /** Inflate (RFC 1951), for browsers without DecompressionStream. */
  function inflate(bytes) {
    const out = [];
    let place = 0, held = 0, count = 0;
    const bit = () => {
      if (!count) { held = bytes[place++]; count = 8; }
      const value = held & 1;
      held >>= 1; count--;
      return value;
    };
    const bits = (n) => { let value = 0; for (let i = 0; i < n; i++) value |= bit() << i; return value; };
    const tree = (sizes) => {
      const counts = new Uint16Array(16), next = new Uint16Array(16), codes = new Map();
      for (const size of sizes) if (size) counts[size]++;
      for (let size = 1, code = 0; size < 16; size++) next[size] = code = (code + (size > 1 ? counts[size - 1] : 0)) << 1;
      sizes.forEach((size, symbol) => { if (size) codes.set(size << 16 | next[size]++, symbol); });
      return codes;
    };
    const read = (codes) => {
      for (let size = 1, code = 0; size < 16; size++) {
        code = code << 1 | bit();
        const symbol = codes.get(size << 16 | code);
        if (symbol !== undefined) return symbol;
      }
      throw new Error('damaged clip');
    };
    const fixed = [...Array(144).fill(8), ...Array(112).fill(9), ...Array(24).fill(7), ...Array(8).fill(8)];
    let last = 0;
    while (!last) {
      last = bit();
      const type = bits(2);
      if (type === 0) {
        count = 0;
        const size = bytes[place] | bytes[place + 1] << 8;
        for (let i = 0; i < size; i++) out.push(bytes[place + 4 + i]);
        place += 4 + size;
        continue;
      }
      let letters = tree(fixed), distances = tree(Array(30).fill(5));
      if (type === 2) {
        const lettersSize = bits(5) + 257, distancesSize = bits(5) + 1, sizes = Array(19).fill(0);
        const given = bits(4) + 4;
        for (let i = 0; i < given; i++) sizes[ORDER[i]] = bits(3);
        const codes = tree(sizes), all = [];
        while (all.length < lettersSize + distancesSize) {
          const symbol = read(codes);
          if (symbol < 16) all.push(symbol);
          else if (symbol === 16) all.push(...Array(bits(2) + 3).fill(all[all.length - 1]));
          else all.push(...Array(symbol === 17 ? bits(3) + 3 : bits(7) + 11).fill(0));
        }
        letters = tree(all.slice(0, lettersSize));
        distances = tree(all.slice(lettersSize));
      }
      for (let symbol = read(letters); symbol !== 256; symbol = read(letters)) {
        if (symbol < 256) { out.push(symbol); continue; }
        const size = LENGTHS[symbol - 257] + bits(LENGTH_BITS[symbol - 257]), code = read(distances);
        const back = FAR[code] + bits(FAR_BITS[code]);
        for (let i = 0; i < size; i++) out.push(out[out.length - back]);
      }
    }
    return Uint8Array.from(out);
  }

  const cache = new Map();

  /** Decode a packed clip: {persons, frames, fps, seconds, points}, points in metres, NaN for unseen joints. */
  function decode(packed, joints) {
    if (!cache.has(packed)) {
      if (cache.size >= KEPT) cache.delete(cache.keys().next().value);
      cache.set(packed, unfold(packed, joints));
    }
    return cache.get(packed);
  }

  async function unfold(packed, joints) {
    const data = await unpack(packed.data), half = data.length / 2;
    const [persons, frames, axes] = packed.shape;
    const points = new Float32Array(persons * frames * joints * 3);
    const value = new Int16Array(1);
    let at = 0;
    for (let m = 0; m < persons; m++) for (let v = 0; v < joints; v++) for (let c = 0; c < axes; c++) {
      value[0] = 0;
      for (let t = 0; t < frames; t++, at++) {
        value[0] += data[at] | data[half + at] << 8;
        points[((m * frames + t) * joints + v) * 3 + c] = value[0] === UNSEEN ? NaN : value[0] * packed.step / 1000;
      }
    }
    return {persons, frames, joints, fps: packed.fps, seconds: frames / packed.fps, points, box: boxOf(points)};
  }

  function boxOf(points) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < points.length; i += 3) for (let c = 0; c < 3; c++) {
      if (points[i + c] < low[c]) low[c] = points[i + c];
      if (points[i + c] > high[c]) high[c] = points[i + c];
    }
    if (!(low[0] <= high[0])) return {centre: [0, 0, 0], floor: -1, radius: 1};
    const centre = low.map((value, c) => (value + high[c]) / 2);
    const radius = Math.max(.05, Math.hypot(high[0] - low[0], high[2] - low[2]) / 2, (high[1] - low[1]) / 2);
    return {centre, floor: low[1], radius};
  }

  // ---- stages ----

  const stages = new Set();

  /** A clock and a camera for one or several players. With `together`, all clips begin and end at the same time. */
  class Stage {
    constructor({together = false, azimuth = 0, elevation = .15} = {}) {
      Object.assign(this, {together, time: 0, speed: 1, loop: true, playing: !still.matches, players: new Set(),
        home: {azimuth, elevation, zoom: 1}, changed: new Set()});
      this.camera = {...this.home};
      stages.add(this);
    }
    get seconds() { return Math.max(1e-3, ...[...this.players].map((player) => player.clip ? player.clip.seconds : 0)); }
    tick(passed) {
      if (this.playing) {
        this.time += passed * this.speed;
        if (this.time >= this.seconds) {
          if (this.loop) this.time %= this.seconds;
          else { this.time = this.seconds; this.playing = false; }
        }
      }
      for (const player of this.players) player.draw();
      for (const listener of this.changed) listener(this);
    }
    get visible() { return [...this.players].some((player) => player.visible); }
    play(on = !this.playing) {
      if (on && this.time >= this.seconds) this.time = 0;
      this.playing = on;
    }
    seek(time) { this.time = Math.min(Math.max(0, time), this.seconds); }
    turn(x, y) {
      this.camera.azimuth += x;
      this.camera.elevation = Math.min(1.5, Math.max(-1.5, this.camera.elevation + y));
    }
    /** Handle a key and return whether it has a meaning. */
    key(key) {
      const frame = 1 / 15;
      const actions = {' ': () => this.play(), ArrowLeft: () => this.turn(-TURN, 0), ArrowRight: () => this.turn(TURN, 0),
        ArrowUp: () => this.turn(0, TURN), ArrowDown: () => this.turn(0, -TURN), 0: () => Object.assign(this.camera, this.home),
        ',': () => { this.play(false); this.seek(this.time - frame); },
        '.': () => { this.play(false); this.seek(this.time + frame); },
        '+': () => { this.camera.zoom = Math.min(8, this.camera.zoom * 1.2); },
        '-': () => { this.camera.zoom = Math.max(.2, this.camera.zoom / 1.2); }, l: () => { this.loop = !this.loop; }};
      if (!actions[key]) return false;
      actions[key]();
      return true;
    }
    remove() { for (const player of this.players) player.remove(); stages.delete(this); }
    clear() { for (const player of [...this.players]) player.remove(); this.time = 0; }
  }

  let before = 0;
  function loop(now) {
    const passed = Math.min(.1, (now - before) / 1000);
    before = now;
    for (const stage of stages) if (stage.visible) stage.tick(passed);
    requestAnimationFrame(loop);
  }
  requestAnimationFrame(loop);

  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.target.player) entry.target.player.visible = entry.isIntersecting;
  });

  // ---- players ----

  let colours = null;
  function palette() {
    if (!colours) {
      const style = getComputedStyle(document.documentElement);
      const get = (name) => style.getPropertyValue(name).trim();
      colours = {persons: [0, 1].map((i) => ['left', 'right', 'middle'].map((side) => get(`--${side}${i || ''}`))),
        ground: get('--ground'), bone: rgb(get('--unpainted')), heat: rgb(get('--painted'))};
    }
    return colours;
  }
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (from, to, share) => `rgb(${from.map((value, c) => Math.round(value + share * (to[c] - value))).join(' ')})`;
  const repaint = () => { colours = null; };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);

  class Player {
    /** @param skeleton {joints, bones, left, right, head}, see clips.skeleton() */
    constructor(canvas, stage, skeleton) {
      Object.assign(this, {canvas, stage, skeleton, clip: null, weights: null, box: null, visible: false});
      this.sides = skeleton.joints.map((_, v) => skeleton.left.includes(v) ? 0 : skeleton.right.includes(v) ? 1 : 2);
      canvas.player = this;
      stage.players.add(this);
      watch.observe(canvas);
      this.listen();
    }
    /** Show a packed clip; weights (bytes, persons x joints x frames) paint it; another box than its own shares a scale. */
    async show(packed, {weights = null, box = null} = {}) {
      const asked = this.asked = {};
      const clip = await decode(packed, this.skeleton.joints.length);
      const painted = weights ? await unpack(weights) : null;
      if (this.asked !== asked) return null;  // another clip has been chosen since
      Object.assign(this, {clip, weights: painted, box: box || clip.box});
      this.draw();
      return clip;
    }
    remove() {
      watch.unobserve(this.canvas);
      this.stage.players.delete(this);
    }
    listen() {
      let from = null;
      this.canvas.addEventListener('pointerdown', (event) => {
        from = [event.clientX, event.clientY];
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener('pointermove', (event) => {
        if (!from) return;
        this.dragged = true;
        this.stage.turn((event.clientX - from[0]) / 120, (event.clientY - from[1]) / 120);
        from = [event.clientX, event.clientY];
      });
      for (const end of ['pointerup', 'pointercancel']) this.canvas.addEventListener(end, () => { from = null; });
      if (this.canvas.tabIndex >= 0) {
        this.canvas.addEventListener('keydown', (event) => {
          if (!event.ctrlKey && !event.metaKey && !event.altKey && this.stage.key(event.key)) event.preventDefault();
        });
      }
    }
    /** The place in the clip, in frames. */
    get frame() {
      const share = this.stage.together ? this.stage.time / this.stage.seconds : this.stage.time / this.clip.seconds;
      return Math.min(this.clip.frames - 1, Math.max(0, share * this.clip.frames));
    }
    draw() {
      const {canvas, clip} = this, ratio = Math.min(2, window.devicePixelRatio || 1);
      const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
      if (!clip || !width || !height) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
      const pen = canvas.getContext('2d'), look = palette();
      pen.clearRect(0, 0, width, height);
      const {azimuth, elevation, zoom} = this.stage.camera, {centre, floor, radius} = this.box;
      const [ca, sa, ce, se] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
      const scale = Math.min(width, height) / 2 * .8 / radius * zoom, middle = height * .47;  // the ground needs room
      const project = (x, y, z) => {
        x -= centre[0]; y -= centre[1]; z -= centre[2];
        const across = x * ca + z * sa, away = z * ca - x * sa;
        const up = y * ce + away * se, depth = away * ce - y * se;
        const near = 1 / (1 + depth / (8 * radius));  // a little perspective
        return [width / 2 + across * scale * near, middle - up * scale * near, depth / radius];
      };
      this.ground(pen, project, look, ratio);
      const frame = this.frame, first = Math.floor(frame), share = frame - first;
      const second = Math.min(first + 1, clip.frames - 1), joints = clip.joints;
      const parts = [];
      for (let m = 0; m < clip.persons; m++) {
        const points = [];
        for (let v = 0; v < joints; v++) {
          const a = ((m * clip.frames + first) * joints + v) * 3, b = ((m * clip.frames + second) * joints + v) * 3;
          const at = [0, 1, 2].map((c) => {
            const here = clip.points[a + c], next = clip.points[b + c];
            return Number.isNaN(next) ? here : here + share * (next - here);
          });
          const weight = this.weights ? this.weights[(m * joints + v) * clip.frames + first] / 255 : null;
          points.push(Number.isNaN(at[0]) ? null : {at: project(...at), weight});
        }
        const colour = (v) => points[v].weight === null ? look.persons[m % 2][this.sides[v]]
          : mix(look.bone, look.heat, points[v].weight);
        for (const [child, parent] of this.skeleton.bones) {
          if (points[child] && points[parent]) {
            parts.push({from: points[child], to: points[parent], colour: colour(child),
              depth: (points[child].at[2] + points[parent].at[2]) / 2});
          }
        }
        points.forEach((point, v) => point && parts.push({from: point, colour: colour(v), depth: point.at[2] - .01,
          head: v === this.skeleton.head}));
      }
      parts.sort((a, b) => b.depth - a.depth);  // far ones first
      const thick = Math.max(1.6 * ratio, Math.min(width, height) / 75);
      pen.lineCap = 'round';
      for (const part of parts) {
        const near = Math.min(1, Math.max(0, .5 - part.depth / 2));  // depth cue: far parts are thin and pale
        pen.globalAlpha = .5 + .5 * near;
        pen.strokeStyle = pen.fillStyle = part.colour;
        pen.beginPath();
        if (part.to) {
          pen.lineWidth = thick * (.7 + .6 * near);
          pen.moveTo(part.from.at[0], part.from.at[1]);
          pen.lineTo(part.to.at[0], part.to.at[1]);
          pen.stroke();
        } else {
          const size = thick * (.55 + .35 * near) * (part.head ? 2.2 : 1) * (1 + (part.from.weight || 0));
          pen.arc(part.from.at[0], part.from.at[1], size, 0, 7);
          pen.fill();
        }
      }
      pen.globalAlpha = 1;
    }
    ground(pen, project, look, ratio) {
      const {centre, floor, radius} = this.box;
      pen.strokeStyle = look.ground;
      pen.lineWidth = ratio;
      for (const share of [.45, .9]) {
        pen.beginPath();
        for (let i = 0; i <= 48; i++) {
          const angle = i * Math.PI / 24;
          const [x, y] = project(centre[0] + Math.cos(angle) * radius * share, floor, centre[2] + Math.sin(angle) * radius * share);
          if (i) pen.lineTo(x, y); else pen.moveTo(x, y);
        }
        pen.stroke();
      }
    }
  }

  // ---- elements ----

  /** Create an element. Children are elements or text; text is never markup. */
  function el(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
      else if (value === true) made.setAttribute(key, '');
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** Create the controls of a stage: play, time, speed, loop, turn. */
  function controls(stage, label) {
    const play = el('button', {type: 'button', class: 'play', onclick: () => stage.play()});
    const time = el('input', {type: 'range', min: 0, max: 1, step: 'any', value: 0, 'aria-label': `Time: ${label}`,
      oninput: () => { stage.play(false); stage.seek(time.value * stage.seconds); }});
    const clock = el('span', {class: 'clock'});
    const speed = el('select', {'aria-label': `Speed: ${label}`, onchange: () => { stage.speed = Number(speed.value); }},
      ...[.25, .5, 1, 2].map((value) => el('option', {value, selected: value === 1}, `${value}×`)));
    const again = el('input', {type: 'checkbox', onchange: () => { stage.loop = again.checked; }});
    again.checked = stage.loop;
    const turn = (text, name, x) => el('button', {type: 'button', 'aria-label': `${name}: ${label}`, title: name,
      onclick: () => stage.turn(x, 0)}, text);
    let shown = null;
    stage.changed.add(() => {
      if (shown !== stage.playing) {
        shown = stage.playing;
        play.textContent = shown ? '❚❚' : '▶';
        play.setAttribute('aria-label', `${shown ? 'Pause' : 'Play'}: ${label}`);
      }
      if (document.activeElement !== time || stage.playing) time.value = stage.time / stage.seconds;
      const text = `${stage.time.toFixed(1)} / ${stage.seconds.toFixed(1)} s`;
      if (clock.textContent !== text) { clock.textContent = text; time.setAttribute('aria-valuetext', text); }
      if (again.checked !== stage.loop) again.checked = stage.loop;
    });
    play.textContent = stage.playing ? '❚❚' : '▶';
    play.setAttribute('aria-label', `${stage.playing ? 'Pause' : 'Play'}: ${label}`);
    return el('div', {class: 'controls', role: 'group', 'aria-label': label}, play, time, clock, speed,
      el('label', {}, again, ' loop'), turn('⟲', 'Turn left', -3 * TURN), turn('⟳', 'Turn right', 3 * TURN));
  }

  return {Stage, Player, controls, el, repaint, decode, inflate, unpack};
})();
