/* The colours of the page: those of the system, or those chosen by the button. */
'use strict';
const Theme = (() => {
  const root = document.documentElement, button = document.getElementById('theme');
  const system = matchMedia('(prefers-color-scheme: dark)'), listeners = new Set();
  function set(dark) {
    root.dataset.theme = dark ? 'dark' : 'light';
    button.setAttribute('aria-pressed', dark);
    Skeleton.repaint();
    for (const listener of listeners) listener();
  }
  button.addEventListener('click', () => set(root.dataset.theme !== 'dark'));
  system.addEventListener('change', () => set(system.matches));
  let screen = null;  // paper is light
  addEventListener('beforeprint', () => { screen = root.dataset.theme; set(false); });
  addEventListener('afterprint', () => { if (screen) set(screen === 'dark'); });
  set(system.matches);
  return {listeners, colour: (name) => getComputedStyle(root).getPropertyValue(name).trim()};
})();
