'use strict';
(() => {
  // Of a table of cases, so many rows are shown until somebody wants them all,
  const ROWS = 200;
  // and of the tests with cases that were looked for, so many are opened.
  const OPENED = 20;
  const form = document.querySelector('.filters');
  const input = document.getElementById('filter');
  const unfold = document.getElementById('unfold');
  const found = document.getElementById('found');
  const chips = [...form.querySelectorAll('.chip')];
  const rows = [...document.querySelectorAll('.matrix tbody tr')];
  // What a word looks like where text is markup, as the rows of cases are.
  const marks = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  const escaped = word => word.replace(/[&<>"]/g, sign => marks[sign]);
  const matches = (text, words) => words.every(word => text.includes(word));

  // The cases of a test. They are text until they are shown: elements for all of them would take a
  // browser minutes.
  class Cases {
    constructor(section) {
      this.stored = section.querySelector('noscript');
    }

    // The rows as markup, taken apart when they are first needed.
    get rows() {
      if (!this.parts) {
        const text = this.stored?.textContent ?? '';
        const from = text.indexOf('<tbody>') + 7;
        const to = text.lastIndexOf('</tbody>');
        this.parts = to < 0 ? [] : text.slice(from, to).split('</tr>').slice(0, -1);
        this.frame = [text.slice(0, from), text.slice(to)];
        // A case is found by its name and by what was said of it.
        this.texts = this.parts.map(row =>
          row.slice(0, row.indexOf('</th>')).replace(/<[^>]*>/g, ' ').toLowerCase());
      }
      return this.parts;
    }

    // Looks for cases with all of `words`. Without words, a test without cases fits as well.
    search(words) {
      this.shown = false;
      this.fitting = words.length ? this.rows.filter((_, at) => matches(this.texts[at], words)) : null;
      return this.fitting?.length ?? 1;
    }

    show(limit = ROWS) {
      if (this.shown || !this.rows.length) return;
      if (!this.body) {
        this.stored.insertAdjacentHTML('afterend', this.frame.join(''));
        this.body = this.stored.nextElementSibling.querySelector('tbody');
        this.stored.remove();
      }
      const fitting = this.fitting ?? this.rows;
      this.body.innerHTML = fitting.slice(0, limit).join('</tr>');
      if (fitting.length > limit) {
        const cell = this.body.insertRow().insertCell();
        cell.colSpan = 1000;
        const more = cell.appendChild(document.createElement('button'));
        more.type = 'button';
        more.className = 'more';
        const rest = fitting.length - limit;
        more.textContent = `Show ${Math.min(9 * limit, rest)} of ${rest} more`;
        more.addEventListener('click', () => { this.shown = false; this.show(10 * limit); });
      }
      this.shown = true;
    }
  }

  const tests = [...document.querySelectorAll('details.test')].map(section => ({
    section,
    cases: new Cases(section),
    name: escaped(section.dataset.test.toLowerCase()),
    kinds: section.dataset.kinds.split(' '),
    row: rows.find(row => row.dataset.test === section.dataset.test),
  }));
  const refresh = test => { if (test.section.open && !test.section.hidden) test.cases.show(); };
  for (const test of tests) {
    test.section.addEventListener('toggle', () => refresh(test));
    refresh(test);
  }
  form.hidden = false;
  form.addEventListener('submit', event => event.preventDefault());

  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(word => word).map(escaped);
    const wanted = chips.filter(chip => chip.ariaPressed === 'true').map(chip => chip.dataset.kind);
    let shown = 0;
    let opened = 0;
    for (const test of tests) {
      const kind = !wanted.length || wanted.some(kind => test.kinds.includes(kind));
      // What the test's own name has, its cases need not have.
      const left = words.filter(word => !test.name.includes(word));
      const visible = kind && test.cases.search(left) > 0;
      test.section.hidden = !visible;
      if (test.row) test.row.hidden = !visible;
      shown += visible;
      // Whoever looks for a case wants to see it.
      if (visible && left.length && opened++ < OPENED) test.section.open = true;
      refresh(test);
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
