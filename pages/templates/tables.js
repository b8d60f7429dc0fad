// Adds sort buttons to the headings of tables marked data-sort, and a filter above long tables.
// The number of a cell is its data-value, or the first number in its text.
(() => {
  const LONG = 12;
  const NUMBER = /[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?/;
  const bodies = new Map();

  function valueOf(row, at) {
    const cell = row.cells[at];
    if (!cell) return null;
    if (cell.dataset.value) return Number(cell.dataset.value);
    const time = cell.querySelector("time");
    if (time) return Date.parse(time.dateTime);
    const text = cell.textContent.trim();
    if (!cell.matches(".n, .rate")) return text || null;
    const found = text.replaceAll("−", "-").match(NUMBER);
    return found ? Number(found[0].replaceAll(",", "")) : null;
  }
  /** Cells without a value stay last in both directions. */
  function compare(a, b, way) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return way * (a - b);
    return way * String(a).localeCompare(String(b), undefined, { numeric: true, sensitivity: "base" });
  }
  function apply(body) {
    const { at, way, wanted, said, observer } = bodies.get(body);
    const rows = [...body.rows].filter((row) => !row.matches(".rest"));
    rows.forEach((row, place) => (row.dataset.place ??= place));
    const order = way
      ? [...rows].sort((a, b) => compare(valueOf(a, at), valueOf(b, at), way) || a.dataset.place - b.dataset.place)
      : [...rows].sort((a, b) => a.dataset.place - b.dataset.place);
    if (order.some((row, place) => row !== rows[place])) {
      const focus = body.contains(document.activeElement) && document.activeElement;
      body.prepend(...order);
      if (focus) focus.focus();
    }
    const text = wanted?.value.trim().toLowerCase() ?? "";
    rows.forEach((row) => (row.hidden = !row.textContent.toLowerCase().includes(text)));
    if (said) said.textContent = text ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    observer.takeRecords();
  }
  function sortBy(body, head, at) {
    const state = bodies.get(body);
    state.way = state.at === at ? { 0: 1, 1: -1, "-1": 0 }[state.way] : 1;
    state.at = at;
    for (const one of head.parentElement.cells) one.removeAttribute("aria-sort");
    if (state.way) head.setAttribute("aria-sort", state.way > 0 ? "ascending" : "descending");
    apply(body);
  }
  function addButtons(body, heads) {
    [...heads].forEach((head, at) => {
      if (!head.textContent.trim() || head.querySelector(".unseen, .scale")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(body, head, at));
      head.append(button);
    });
  }
  function addFilter(table) {
    const title = table.closest("section")?.querySelector("h2")?.firstChild.textContent.trim().toLowerCase();
    const line = document.createElement("p"), input = document.createElement("input"), said = document.createElement("span");
    line.className = "filter";
    input.type = "search";
    input.placeholder = "Filter";
    input.setAttribute("aria-label", title ? `Filter ${title}` : "Filter");
    said.className = "faint";
    said.setAttribute("role", "status");
    line.append(input, said);
    (table.closest(".wide") ?? table).before(line);
    return { wanted: input, said };
  }
  function enhance(table) {
    const body = table.tBodies[0], asked = table.dataset.filter;
    if (bodies.has(body) || (!asked && body.rows.length < 3)) return;
    const own = asked ? { wanted: document.getElementById(asked) } : body.rows.length >= LONG ? addFilter(table) : {};
    const observer = new MutationObserver(() => apply(body));
    bodies.set(body, { at: 0, way: 0, observer, ...own });
    addButtons(body, table.tHead.rows[0].cells);
    own.wanted?.addEventListener("input", () => apply(body));
    observer.observe(body, { childList: true, subtree: true });
  }
  document.querySelectorAll("table[data-sort]").forEach(enhance);
})();
