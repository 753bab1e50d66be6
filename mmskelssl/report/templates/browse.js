/* The page of `mmskelssl browse --html`: find clips and play them. */
'use strict';
(() => {
  const {Stage, Player, controls, el} = Skeleton;
  const page = JSON.parse(document.getElementById('page-data').textContent), {clips} = page;
  const $ = (id) => document.getElementById(id), MORE = 24;
  const bdi = (text) => el('bdi', {}, String(text));
  const large = new Stage(), small = new Stage(), player = new Player($('canvas'), large, page.skeleton);
  $('stage').append(controls(large, 'chosen clip'));
  $('clips-controls').append(controls(small, 'clips'));

  function choose(i) {
    large.time = 0;
    player.show(clips.packed[i]);
    $('canvas').dataset.clip = clips.id[i];
    $('chosen').replaceChildren(bdi(clips.id[i]));
    $('chosen-class').replaceChildren(bdi(clips.name[i] === null ? 'no label' : clips.name[i]));
  }

  function item(i) {
    const canvas = el('canvas', {'aria-hidden': 'true'});
    new Player(canvas, small, page.skeleton).show(clips.packed[i]);
    return el('li', {}, el('button', {type: 'button', class: 'mini', onclick: () => choose(i)}, canvas,
      el('span', {}, el('b', {}, bdi(clips.id[i])), bdi(clips.name[i] === null ? 'no label' : clips.name[i]))));
  }

  function find() {
    const text = $('find').value.trim().toLowerCase();
    const rows = clips.id.map((_, i) => i).filter((i) => `${clips.id[i]} ${clips.name[i] || ''}`.toLowerCase().includes(text));
    $('found').textContent = `${rows.length} clip${rows.length === 1 ? '' : 's'}`;
    small.clear();
    $('clips').replaceChildren();
    let shown = 0;
    const more = el('li', {}, el('button', {type: 'button', onclick: add}, 'Show more'));
    function add() {
      more.remove();
      $('clips').append(...rows.slice(shown, shown + MORE).map(item));
      shown += MORE;
      if (shown < rows.length) $('clips').append(more);
    }
    add();
  }

  $('find').addEventListener('input', find);
  find();
  choose(0);
})();
