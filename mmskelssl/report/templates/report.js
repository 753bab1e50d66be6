/* The parts of the report that move: map, neighbours, confusion, masks, views and recordings. */
'use strict';
const Report = (() => {
  const {Stage, Player, controls, el} = Skeleton;
  const page = JSON.parse(document.getElementById('page-data').textContent);
  const $ = (id) => document.getElementById(id);
  const clips = page.clips, count = clips ? clips.id.length : 0;
  const say = (text) => { $('live').textContent = text; };
  const percent = (value) => `${Math.round(100 * value)} %`;
  const label = (i) => clips.label[i] >= 0 ? page.classes[clips.label[i]] : null;
  const bdi = (text) => el('bdi', {}, String(text));

  // ---- charts ----

  const charts = [];
  const TEXT = ['axis_label_text_color', 'major_label_text_color', 'label_text_color', 'text_color'];
  const LINES = ['axis_line_color', 'major_tick_line_color'];
  function paint(chart) {
    for (const model of chart.root.references()) {
      const changes = {};
      for (const name of TEXT) if (name in model.properties) changes[name] = Theme.colour('--soft');
      for (const name of LINES) if (name in model.properties) changes[name] = Theme.colour('--line');
      if (model.type === 'Grid' && model.grid_line_color) changes.grid_line_color = Theme.colour('--grid');
      if (Object.keys(changes).length) model.setv(changes);
    }
  }
  Theme.listeners.add(() => charts.forEach(paint));

  let queue = Promise.resolve();
  /** Draw a chart into an element, once. Resolves to {root, find}. */
  function draw(item, id) {
    const made = queue.then(async () => {
      await Bokeh.embed.embed_item(item, id);
      const owner = Bokeh.documents.find((document) => document.get_model_by_id(item.root_id));
      const chart = {root: owner.get_model_by_id(item.root_id), find: (name) => owner.get_model_by_name(name)};
      charts.push(chart);
      paint(chart);
      return chart;
    });
    queue = made.catch(() => null);
    return made;
  }

  const pending = new Map();
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) open(entry.target);
  }, {rootMargin: '600px'});
  function open(element) {
    const start = pending.get(element);
    if (!start) return;
    pending.delete(element);
    near.unobserve(element);
    start();
  }
  /** Do something when an element comes into view, or when the browser is idle: printing would not wait for it. */
  function later(element, start) { pending.set(element, start); near.observe(element); ahead(); }
  const whenIdle = window.requestIdleCallback || ((work) => setTimeout(work, 200));
  let waiting = false;
  function ahead() {
    if (waiting || !pending.size) return;
    waiting = true;
    whenIdle(() => {
      waiting = false;
      if (pending.size) open(pending.keys().next().value);
      queue.then(ahead);
    });
  }
  addEventListener('beforeprint', () => [...pending.keys()].forEach(open));
  const PAPER = 660;  // pixels of a page; a wider chart would be cut off
  const zoom = (share) => document.querySelectorAll('[data-chart]').forEach((one) => { one.style.zoom = share(one); });
  addEventListener('beforeprint', () => zoom((one) => Math.min(1, PAPER / one.scrollWidth)));
  addEventListener('afterprint', () => zoom(() => ''));

  const drawn = {};
  for (const element of document.querySelectorAll('[data-chart]')) {
    later(element, () => { drawn[element.dataset.chart] = draw(page.charts[element.dataset.chart], element.id); });
  }

  // ---- small players ----

  function facts(i) {
    const parts = [label(i) === null ? 'no label' : label(i)];
    if (clips.predicted && clips.predicted[i] !== null) {
      parts.push(`predicted ${page.classes[clips.predicted[i]]}, ${percent(clips.confidence[i])}`);
    }
    return parts.join('; ');
  }

  /** A button that plays a clip and chooses it. */
  function mini(i, stage, extra = [], listItem = true) {
    const canvas = el('canvas', {'aria-hidden': 'true'});
    const button = el('button', {type: 'button', class: 'mini', 'data-clip': i, onclick: () => {
      if (canvas.player.dragged) { canvas.player.dragged = false; return; }
      choose(i);
      $('map').scrollIntoView();
    }}, canvas, el('span', {}, el('b', {}, bdi(clips.id[i])), bdi(facts(i)), ...extra));
    const player = new Player(canvas, stage, page.skeleton);
    later(canvas, () => player.show(clips.packed[i]));
    return listItem ? el('li', {}, button) : button;
  }

  const MORE = innerWidth < 600 ? 6 : 12;
  /** Fill a list with small players, a dozen at a time. */
  function fill(list, stage, indices, extra = () => []) {
    stage.clear();
    list.replaceChildren();
    let shown = 0;
    const more = el('li', {}, el('button', {type: 'button', onclick: add}, 'Show more'));
    function add() {
      for (const i of indices.slice(shown, shown + MORE)) list.insertBefore(mini(i, stage, extra(i)), more.isConnected ? more : null);
      shown = Math.min(shown + MORE, indices.length);
      if (shown < indices.length) list.append(more);
      else more.remove();
    }
    add();
  }

  // ---- map ----

  let chosen = -1;
  const watchers = new Set();
  function choose(i) {
    if (i === chosen) return;
    chosen = i;
    for (const watcher of watchers) watcher(i);
  }

  const tray = new Set();
  const trayStage = new Stage();
  function collect(indices) {
    for (const i of indices) tray.add(i);
    showTray();
    say(`${tray.size} clips in the tray`);
  }
  function showTray() {
    $('tray-count').textContent = tray.size ? `${tray.size} clip${tray.size > 1 ? 's' : ''}` : 'no clips';
    $('tray').parentElement.classList.toggle('filled', tray.size > 0);
    $('tray-ids').value = [...tray].map((i) => clips.id[i]).join('\n');
    fill($('tray'), trayStage, [...tray]);
  }

  function startMap() {
    const stage = new Stage(), player = new Player($('map-canvas'), stage, page.skeleton);
    $('map-stage').append(controls(stage, 'chosen clip'));
    let source = null, cursor = null, plot = null, grouping = 0, places = null, only = null, lasso = null, pan = null;

    watchers.add(async (i) => {
      stage.time = 0;
      $('map-canvas').dataset.clip = clips.id[i];
      const group = page.colourings[grouping];
      const lines = [['Class', label(i) === null ? 'no label' : label(i)]];
      if (clips.predicted && clips.predicted[i] !== null) {
        lines.push(['Predicted', `${page.classes[clips.predicted[i]]} (${percent(clips.confidence[i])})`]);
      }
      for (const one of page.colourings) {
        if (!['class', 'error'].includes(one.title)) lines.push([one.title[0].toUpperCase() + one.title.slice(1), one.names[one.groups[i]]]);
      }
      const packed = clips.packed[i];
      lines.push(['Length', `${(clips.frames[i] / page.fps).toFixed(1)} s${page.fpsKnown ? '' : ' at 30 frames per second'}` +
        (packed.cut ? `; the first ${page.longest} s are shown` : '')]);
      $('map-facts').replaceChildren(el('h3', {}, bdi(clips.id[i])), el('dl', {}, ...lines.flatMap(([term, text]) =>
        [el('dt', {}, term), el('dd', {}, bdi(text))])));
      if (cursor) cursor.data = {x: [places[0][i]], y: [places[1][i]]};
      await player.show(packed);
    });

    function recolour() {
      places = page.projections[$('map-projection').value];
      grouping = Number($('map-colour').value);
      const {groups, looks, names} = page.colourings[grouping];
      const alpha = groups.map((group) => only === null || only === group ? .85 : .08);
      source.data = {x: places[0], y: places[1], colour: groups.map((group) => looks[group][0]),
        marker: groups.map((group) => looks[group][1]), alpha, size: groups.map(() => count > 800 ? 6 : 8)};
      cursor.data = chosen < 0 ? {x: [], y: []} : {x: [places[0][chosen]], y: [places[1][chosen]]};
      $('map-legend').replaceChildren(...names.map((name, group) => el('li', {}, el('button', {type: 'button',
        'aria-pressed': String(only === group), onclick: () => {
          only = only === group ? null : group;
          recolour();
          $('map-legend').children[group].firstChild.focus();
        }}, swatch(...looks[group]), el('span', {}, bdi(name), ` ${groups.filter((other) => other === group).length}`)))));
    }

    later($('map-plot'), async () => {
      const chart = await draw(page.map, 'map-plot');
      plot = chart.root;
      [source, cursor] = [chart.find('map-clips'), chart.find('map-cursor')];
      [lasso, pan] = [chart.find('lasso'), chart.find('pan')];
      recolour();
      if (chosen < 0) choose(page.first);
      source.inspect.connect(() => { if (source.inspected.indices.length) choose(source.inspected.indices[0]); });
      source.selected.properties.indices.change.connect(() => {
        const indices = source.selected.indices;
        if (indices.length === 1) choose(indices[0]);
        if (indices.length) collect(indices);
      });
      mode(matchMedia('(pointer: coarse)').matches ? 'none' : 'lasso');
      $('map-plot').dataset.ready = '';
    });

    function mode(name) {
      lasso.active = name === 'lasso';
      pan.active = name === 'pan';
      $('map-lasso').setAttribute('aria-pressed', lasso.active);
      $('map-pan').setAttribute('aria-pressed', pan.active);
    }
    function zoom(factor) {
      for (const range of [plot.x_range, plot.y_range]) {
        const middle = (range.start + range.end) / 2, half = (range.end - range.start) / 2 * factor;
        range.setv({start: middle - half, end: middle + half});
      }
    }
    $('map-lasso').addEventListener('click', () => mode(lasso.active ? 'none' : 'lasso'));
    $('map-pan').addEventListener('click', () => mode(pan.active ? 'none' : 'pan'));
    $('map-in').addEventListener('click', () => zoom(.7));
    $('map-out').addEventListener('click', () => zoom(1 / .7));
    $('map-reset').addEventListener('click', () => {
      for (const range of [plot.x_range, plot.y_range]) range.setv({start: -1.08, end: 1.08});
      source.selected.indices = [];
      only = null;
      recolour();
    });
    $('map-projection').addEventListener('change', recolour);
    $('map-colour').addEventListener('change', () => { only = null; recolour(); });
    $('map-collect').addEventListener('click', () => { if (chosen >= 0) collect([chosen]); });
    $('tray-clear').addEventListener('click', () => {
      tray.clear();
      source.selected.indices = [];
      showTray();
      say('The tray is empty');
    });

    const WAYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
    $('map-keys').addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !places) return;
      if (event.key === 'Enter' || event.key === ' ') collect([chosen]);
      else if (WAYS[event.key]) choose(next(...WAYS[event.key]));
      else return;
      event.preventDefault();
      say(`${clips.id[chosen]}: ${facts(chosen)}`);
    });
    /** The clip nearest to the chosen one in a direction; ways to the side count double. */
    function next(x, y) {
      let best = chosen, least = Infinity;
      for (let i = 0; i < count; i++) {
        const across = places[0][i] - places[0][chosen], up = places[1][i] - places[1][chosen];
        const ahead = across * x + up * y, aside = Math.abs(across * y) + Math.abs(up * x);
        if (ahead > 1e-9 && ahead + 2 * aside < least) [best, least] = [i, ahead + 2 * aside];
      }
      return best;
    }

    $('map-search').addEventListener('input', () => {
      const text = $('map-search').value.trim().toLowerCase();
      const found = text ? clips.id.map((id, i) => [id, i]).filter(([id]) => id.toLowerCase().includes(text)) : [];
      $('map-results').replaceChildren(...found.slice(0, 8).map(([id, i]) => el('li', {}, el('button',
        {type: 'button', onclick: () => { choose(i); say(`${id}: ${facts(i)}`); }}, bdi(id)))),
      ...(text ? [el('li', {class: 'soft'}, `${found.length} clip${found.length === 1 ? '' : 's'} found`)] : []));
    });
  }

  const SHAPES = {circle: 'M7 2a5 5 0 1 0 .01 0z', square: 'M2 2h10v10h-10z', triangle: 'M7 1l6 11h-12z', inverted_triangle: 'M7 13l6-11h-12z',
    diamond: 'M7 1l5 6-5 6-5-6z', star: 'M7 1l2 4 4 .6-3 3 .8 4.4-3.8-2-3.8 2 .8-4.4-3-3 4-.6z', hex: 'M4 2h6l3 5-3 5h-6l-3-5z',
    plus: 'M6 1h2v5h5v2h-5v5h-2v-5h-5v-2h5z'};
  function swatch(colour, marker) {
    const make = (name, attributes) => {
      const made = document.createElementNS('http://www.w3.org/2000/svg', name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      return made;
    };
    const picture = make('svg', {viewBox: '0 0 14 14', 'aria-hidden': 'true'});
    picture.append(make('path', {d: SHAPES[marker], fill: colour}));
    return picture;
  }

  // ---- neighbours ----

  function startNeighbours() {
    const stage = new Stage(), of = new Map(page.neighbours.map((entry) => [entry.clip, entry]));
    $('neighbours-controls').append(controls(stage, 'neighbours'));
    const select = $('neighbours-clip');
    select.append(...page.neighbours.map(({clip}) => el('option', {value: clip}, clips.id[clip])));
    select.addEventListener('change', () => choose(Number(select.value)));
    watchers.add((i) => {
      const row = $('neighbours-row'), entry = of.get(i);
      stage.clear();
      if (!entry) {
        row.replaceChildren(el('li', {class: 'soft'}, page.aside));
        select.selectedIndex = -1;
        return;
      }
      select.value = i;
      const items = [mini(i, stage, [el('span', {}, 'the chosen clip')])];
      items[0].classList.add('chosen');
      const near = entry.near.map((other, k) => [other, entry.distance[k]]);
      if (entry.same !== null && entry.same >= 0 && !entry.near.includes(entry.same)) near.push([entry.same, null]);
      for (const [other, distance] of near) {
        const same = other === entry.same;
        const note = [el('span', {}, distance === null ? 'not among the nearest' : `distance ${distance.toFixed(3)}`)];
        if (same) note.push(el('span', {class: 'twin'}, '⚠ the same movement'));
        const item = mini(other, stage, note);
        if (same) item.classList.add('same');
        items.push(item);
      }
      if (entry.same === -1) items.push(el('li', {class: 'soft'}, '⚠ A clip that is not on this page shows the same movement.'));
      row.replaceChildren(...items);
    });
  }

  // ---- confusion ----

  function startConfusion() {
    const stage = new Stage();
    $('cell-controls').append(controls(stage, 'clips of the cell'));
    for (const button of document.querySelectorAll('[data-cell]')) {
      button.addEventListener('click', () => {
        const cell = page.cells[button.dataset.cell];
        $('cell').hidden = false;
        $('cell-title').replaceChildren(bdi(page.classes[cell.true]), ' predicted as ', bdi(page.classes[cell.predicted]),
          `: ${cell.count} clip${cell.count > 1 ? 's' : ''}` + (cell.clips.length < cell.count ? `, ${cell.clips.length} of them on this page` : ''));
        fill($('cell-clips'), stage, cell.clips);
        $('cell-title').focus();
      });
    }
    for (const name of ['surest', 'unsure']) {
      if (!page[name].length) continue;
      const list = new Stage();
      $(`${name}-controls`).append(controls(list, name === 'surest' ? 'most confident errors' : 'least certain clips'));
      later($(name), () => fill($(name), list, page[name]));
    }
  }

  // ---- masks ----

  function startMasks() {
    const {names, clips: painted, chart: item} = page.masks, stage = new Stage();
    const select = $('masks-clip'), players = [];
    $('masks-controls').append(controls(stage, 'masks'));
    select.append(...painted.map(({clip}, k) => el('option', {value: k}, `${clips.id[clip]} (${facts(clip)})`)));
    names.forEach((name, k) => {
      const canvas = el('canvas', {tabindex: 0, role: 'application', 'aria-roledescription': 'skeleton player',
        'aria-label': `Mask of ${name}. Space plays, arrow keys turn.`});
      const ends = el('div', {class: 'ends'});
      $('masks-curve').before(el('figure', {}, el('figcaption', {}, el('h3', {}, bdi(name))),
        el('div', {class: 'stage'}, canvas), el('div', {class: 'scale', 'aria-hidden': 'true'}), ends));
      players.push({player: new Player(canvas, stage, page.skeleton), ends});
    });
    let curves = null;
    async function show() {
      const entry = painted[Number(select.value)];
      stage.time = 0;
      players.forEach(({player, ends}, k) => {
        player.show(clips.packed[entry.clip], {weights: entry.of[k].weights});
        ends.replaceChildren(el('span', {}, entry.of[k].low.toFixed(3)), el('span', {}, entry.of[k].high.toFixed(3)));
      });
      const rows = Math.max(...entry.of.map((one) => one.top.length));
      $('masks-table').replaceChildren(el('table', {}, el('thead', {}, el('tr', {}, ...names.map((name) => el('th', {scope: 'col', class: 'text'}, bdi(name))))),
        el('tbody', {}, ...Array.from({length: rows}, (_, r) => el('tr', {}, ...entry.of.map((one) =>
          el('td', {class: 'text'}, `${one.top[r][0]} ${one.top[r][1].toFixed(3)}`)))))));
      if (curves) entry.of.forEach((one, k) => { curves.find(`mask-${k}`).data = {x: entry.times, y: one.curve}; });
    }
    select.addEventListener('change', show);
    later($('mask-plot'), async () => {
      curves = await draw(item, 'mask-plot');
      follow(stage, curves, 'mask-time');
      show();
    });
    later($('masks-players'), show);
  }

  /** Let a vertical line in a chart follow the clock of a stage, and clicks on the chart set the clock. */
  function follow(stage, chart, name) {
    const line = chart.find(name), view = [...Bokeh.index].find((one) => one.model === chart.root);
    stage.changed.add(() => { if (Math.abs(line.location - stage.time) > .01) line.location = stage.time; });
    view.el.addEventListener('click', (event) =>
      stage.seek(view.frame.x_scale.invert(event.clientX - view.el.getBoundingClientRect().x)));
  }

  // ---- views ----

  function startViews() {
    const {clips: shown, draws} = page.views, stage = new Stage({together: true}), select = $('views-clip');
    let number = 0;
    $('views-controls').append(controls(stage, 'views'));
    select.append(...shown.map(({clip, title}, k) => el('option', {value: k}, title || `${clips.id[clip]} (${facts(clip)})`)));
    async function show() {
      const entry = shown[Number(select.value)], skeleton = entry.skeleton || page.skeleton;
      stage.clear();
      $('views-number').textContent = `draw ${number + 1} of ${draws}`;
      $('views-rows').replaceChildren();
      for (const view of entry.views) {
        const boxes = Skeleton.decode(view.steps[0].draws[0], skeleton.joints.length).then((clip) => clip.box);
        const row = el('div', {class: 'minis'});
        $('views-rows').append(el('h3', {class: 'row-title'}, bdi(view.title)), row);
        for (const step of view.steps) {
          const drawn = step.draws[number % step.draws.length], canvas = el('canvas', {'aria-hidden': 'true'});
          row.append(el('figure', {class: 'step'}, canvas, el('figcaption', {}, bdi(step.title),
            drawn.note ? el('span', {class: 'soft'}, ` ${drawn.note}`) : null)));
          const player = new Player(canvas, stage, skeleton);
          boxes.then((box) => player.show(drawn, {box: {...box, radius: 1.2 * box.radius}}));  // some steps enlarge
        }
      }
    }
    $('views-draw').addEventListener('click', () => { number = (number + 1) % draws; show(); });
    select.addEventListener('change', show);
    later($('views-rows'), show);
  }

  // ---- recordings ----

  function startRecording() {
    for (const track of page.tracks) {
      const stage = new Stage(), player = new Player($(`${track.key}-canvas`), stage, page.recordingSkeleton);
      stage.playing = false;
      $(`${track.key}-controls`).append(controls(stage, track.title));
      later($(`${track.key}-canvas`), () => player.show(track.clip));
      later($(`chart-${track.key}`), async () => {
        drawn[track.key] = draw(page.charts[track.key], `chart-${track.key}`);
        follow(stage, await drawn[track.key], track.key.replace('track', 'track-time'));
      });
      for (const button of document.querySelectorAll(`[data-of="${track.key}"]`)) {
        button.addEventListener('click', () => {
          stage.seek(track.starts[Number(button.dataset.track)]);
          stage.play(true);
          player.canvas.scrollIntoView({block: 'center'});
        });
      }
    }
  }

  if (page.projections) startMap();
  if (page.neighbours) startNeighbours();
  if (page.cells) startConfusion();
  if (page.masks) startMasks();
  if (page.views) startViews();
  if (page.tracks) startRecording();
  for (const button of document.querySelectorAll('td [data-clip], th [data-clip]')) {
    button.addEventListener('click', () => { choose(Number(button.dataset.clip)); $('neighbours').scrollIntoView(); });
  }
  if (page.projections && page.first >= 0) choose(page.first);
  return {page, choose, tray, get chosen() { return chosen; }, charts};
})();
