(() => {
  "use strict";
  const MARKS = '[aria-roledescription="point"], [aria-roledescription="bar"]';
  const said = document.getElementById("said");

  /* Charts: each is one stop of the Tab key, its marks are reached with the arrow keys. */
  function say(mark) {
    const box = mark.getBoundingClientRect();
    said.textContent = mark.getAttribute("aria-label");
    said.hidden = false;
    const left = box.left + box.width / 2 - said.offsetWidth / 2;
    const most = document.documentElement.clientWidth - said.offsetWidth - 8;
    said.style.left = `${window.scrollX + Math.max(8, Math.min(left, most))}px`;
    said.style.top = `${window.scrollY + Math.max(4, box.top - said.offsetHeight - 8)}px`;
  }
  function hush() { /* a pointer that leaves a mark gives way to the mark that has the focus */
    const focused = document.activeElement;
    if (focused && focused.matches(MARKS)) say(focused);
    else said.hidden = true;
  }

  function makeReachable(chart) {
    const marks = [...chart.querySelectorAll(MARKS)];
    const focused = marks.findIndex((mark) => mark === document.activeElement);
    marks.forEach((mark, i) => {
      const stop = i === Math.max(focused, 0) ? "0" : "-1";
      if (mark.getAttribute("tabindex") !== stop) mark.setAttribute("tabindex", stop);
      mark.setAttribute("role", "img");
    });
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const marks = [...event.currentTarget.querySelectorAll(MARKS)];
    const at = marks.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = marks[(at + step + marks.length) % marks.length];
    marks[at].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  async function draw(name, spec) {
    const chart = document.getElementById(name);
    await vegaEmbed(chart, spec, { actions: false, renderer: "svg", tooltip: false });
    makeReachable(chart);
    new MutationObserver(() => makeReachable(chart)).observe(chart, { childList: true, subtree: true });
    chart.addEventListener("keydown", move);
    chart.addEventListener("focusin", (event) => { if (event.target.matches(MARKS)) say(event.target); });
    chart.addEventListener("focusout", hush);
    chart.addEventListener("pointerover", (event) => { if (event.target.matches(MARKS)) say(event.target); });
    chart.addEventListener("pointerout", hush);
  }
  const drawn = Promise.all(Object.entries(CHARTS).map(([name, spec]) => draw(name, spec)));
  drawn.then(() => { document.body.dataset.drawn = "yes"; });

  /* The table: sorted by a column, filtered by words. */
  const table = document.querySelector("table");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const keyOf = (row, column) => row.cells[column].dataset.key;

  function sortBy(column) {
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const numeric = heads[column].classList.contains("number");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [keyOf(a, column), keyOf(b, column)];
      if (x === "" || y === "") return (x === "") - (y === ""); /* what is missing stays below */
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y);
      return descending ? -order : order;
    });
    body.append(...rows);
  }
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sortBy(column)));

  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  function applyFilter() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...body.rows];
    rows.forEach((row) => {
      const text = `${row.textContent} ${row.dataset.family}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
    shown.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} models`;
  }
  filter.addEventListener("input", applyFilter);
  applyFilter();
})();
