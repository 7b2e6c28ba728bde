'use strict';
(() => {
  const form = document.querySelector('.filters');
  const input = document.getElementById('filter');
  const unfold = document.getElementById('unfold');
  const found = document.getElementById('found');
  const chips = [...form.querySelectorAll('.chip')];
  const rows = [...document.querySelectorAll('.matrix tbody tr')];
  const tests = [...document.querySelectorAll('details.test')].map(section => ({
    section,
    name: section.dataset.test.toLowerCase(),
    kinds: section.dataset.kinds.split(' '),
    row: rows.find(row => row.dataset.test === section.dataset.test),
    cases: [...section.querySelectorAll('.cases tbody tr')].map(row => ({
      row, text: row.textContent.toLowerCase(),
    })),
  }));
  form.hidden = false;
  form.addEventListener('submit', event => event.preventDefault());

  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(word => word);
    const wanted = chips.filter(chip => chip.ariaPressed === 'true').map(chip => chip.dataset.kind);
    let shown = 0;
    for (const test of tests) {
      const kind = !wanted.length || wanted.some(kind => test.kinds.includes(kind));
      const byName = words.every(word => test.name.includes(word));
      let cases = 0;
      for (const { row, text } of test.cases) {
        const fits = byName || words.every(word => text.includes(word) || test.name.includes(word));
        row.hidden = !fits;
        cases += fits;
      }
      const visible = kind && (byName || cases > 0);
      test.section.hidden = !visible;
      if (test.row) test.row.hidden = !visible;
      shown += visible;
      // Whoever looks for a case wants to see it.
      if (visible && words.length && !byName) test.section.open = true;
    }
    found.textContent =
      words.length || wanted.length ? `${shown} of ${tests.length} tests` : '';
  };
  input.addEventListener('input', filter);
  for (const chip of chips) {
    chip.addEventListener('click', () => {
      chip.ariaPressed = String(chip.ariaPressed !== 'true');
      filter();
    });
  }
  unfold.addEventListener('click', () => {
    const open = unfold.textContent === 'Open all';
    for (const { section } of tests) section.open = open;
    unfold.textContent = open ? 'Close all' : 'Open all';
  });
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === 'Escape' && document.activeElement === input) {
      input.value = '';
      filter();
    }
  });

  // A link leads into a section: open it.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === 'DETAILS') at.open = true;
    }
    target?.scrollIntoView();
  };
  addEventListener('hashchange', reveal);
  if (location.hash) reveal();
})();
