"use strict";

/* The table of all pairs: filter, sort, fold by layer or module, keyboard, and a link to each row. */

const ROWS_AT_ONCE = 1000; /* groups beyond that stay folded while a filter opens them */
const SMALL = 80;          /* tables without more rows are not folded */

/* [key, title, value for sorting, class] */
const COLUMNS = [
  ["order", "#", (row) => row.index, "number"],
  ["layer", "layer", (row) => row.layer, "number slim"],
  ["name", "candidate", (row) => row.name, ""],
  ["other", "reference", (row) => row.other, "wide"],
  ["error", "error", (row) => row.error, "number"],
  ["inherited", "inherited", (row) => row.inherited, "number wide traces"],
  ["added", "added here", (row) => row.added, "number wide traces replay"],
  ["largest", "max |d|", (row) => row.largest, "number wide"],
  ["cosine", "cosine", (row) => row.cosine, "number wide"],
  ["verdict", "verdict", (row) => Object.keys(VERDICTS).indexOf(row.verdict), ""],
];

const GROUPS = {
  layer: ["by layer", (model, row) => (model.passes > 1 ? `Pass ${row.pass}, ` : "") + (row.layer >= 0 ? `layer ${row.layer}` : "outside the layers")],
  module: ["by module", (model, row) => (model.passes > 1 ? `Pass ${row.pass}, ` : "") + row.module],
  none: ["not folded", () => "All pairs"],
};

function columnsOf(model) {
  return COLUMNS.filter(([, , , kind]) => !(kind.includes("traces") && model.isWeights) && !(kind.includes("replay") && !model.hasReplay));
}

/* NaN goes last, whichever way is sorted. */
function compareBy(value, direction) {
  return (a, b) => {
    const x = value(a), y = value(b);
    if (typeof x === "string") {
      return direction * x.localeCompare(y, "en", { numeric: true }) || a.index - b.index;
    }
    if (Number.isNaN(x) || Number.isNaN(y)) {
      return Number.isNaN(x) - Number.isNaN(y) || a.index - b.index;
    }
    return direction * (x - y) || a.index - b.index;
  };
}

function cellText(row, key) {
  if (key === "error" || key === "inherited" || key === "added") {
    return errorText(row[key]);
  }
  return key === "largest" ? errorText(row.largest) : key === "cosine" ? (Number.isNaN(row.cosine) ? "–" : row.cosine.toFixed(6).replace("-", "−")) : key === "layer" ? (row.layer >= 0 ? String(row.layer) : "") : String(row[key]);
}

class PairTable {
  constructor(model) {
    this.model = model;
    this.columns = columnsOf(model);
    this.sort = ["order", 1];
    this.text = "";
    this.verdict = "all";
    this.mode = "layer";
    this.toggled = new Set(); /* groups that are not as they would be by themselves */
    this.detailed = new Set();
    this.current = -1;
    this.table = make("table", { class: "pairs" });
    this.status = make("p", { class: "muted", role: "status" });
    this.element = this.build();
    this.render();
  }

  /* ---- which rows, in which order and groups */

  isWanted(row) {
    const fails = kindOf(row.verdict) !== "good" && kindOf(row.verdict) !== "soft";
    const byVerdict = this.verdict === "all" || (this.verdict === "failing" ? fails : row.verdict === this.verdict);
    return byVerdict && (this.text === "" || `${row.name}\n${row.other}\n${row.operation}`.toLowerCase().includes(this.text));
  }

  rows() {
    const [key, direction] = this.sort, value = COLUMNS.find(([each]) => each === key)[2];
    const wanted = this.model.rows.filter((row) => this.isWanted(row));
    return key === "order" && direction === 1 ? wanted : wanted.sort(compareBy(value, direction));
  }

  groups() {
    const groups = new Map(), keyOf = GROUPS[this.mode][1];
    for (const row of this.rows()) {
      const key = keyOf(this.model, row);
      if (!groups.has(key)) {
        groups.set(key, []);
      }
      groups.get(key).push(row);
    }
    return groups;
  }

  isFiltered() {
    return this.text !== "" || this.verdict !== "all";
  }

  isOpen(key, rows, before) {
    const isByItself = this.isFiltered() || this.mode === "none" ? before < ROWS_AT_ONCE : this.model.rows.length <= SMALL || rows.includes(this.model.first);
    return isByItself !== this.toggled.has(key);
  }

  /* ---- drawing */

  render() {
    const body = document.createDocumentFragment();
    let before = 0, shown = 0;
    for (const [key, rows] of this.groups()) {
      const isOpen = this.isOpen(key, rows, before);
      body.append(this.group(key, rows, isOpen));
      before += isOpen ? rows.length : 0;
      shown += rows.length;
    }
    this.table.replaceChildren(make("caption", { class: "visually-hidden" }, "Pairs of tensors with their errors and verdicts"), this.head(), body);
    this.status.textContent = `${shown.toLocaleString("en")} of ${count(this.model.rows.length, "pair")}`;
    for (const index of this.detailed) {
      this.showDetails(index);
    }
    this.mark(this.current);
  }

  head() {
    const cell = ([key, title, , kind]) => {
      const isSorted = this.sort[0] === key, label = key === "error" ? this.model.measure : title;
      return make("th", { scope: "col", class: kind, "aria-sort": isSorted ? (this.sort[1] > 0 ? "ascending" : "descending") : "none" },
        make("button", { type: "button", click: () => this.sortBy(key) }, label, make("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (this.sort[1] > 0 ? "▲" : "▼") : "")));
    };
    return make("thead", null, make("tr", null, this.columns.map(cell)));
  }

  group(key, rows, isOpen) {
    const body = make("tbody", { class: isOpen ? "open" : "" });
    if (this.mode !== "none") {
      body.append(make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: this.columns.length },
        make("button", { type: "button", "aria-expanded": String(isOpen), click: () => this.toggle(key) }, make("span", { class: "fold", "aria-hidden": "true" }, isOpen ? "▾" : "▸"), make("bdi", null, key)), this.digest(rows))));
    }
    if (isOpen) {
      rows.forEach((row) => body.append(this.line(row)));
    }
    return body;
  }

  /* A folded group in a line: how many of each verdict, and the largest error. */
  digest(rows) {
    const counts = new Map();
    rows.forEach((row) => counts.set(row.verdict, (counts.get(row.verdict) || 0) + 1));
    const worst = rows.reduce((largest, row) => row.error > largest ? row.error : largest, 0);
    return make("span", { class: "digest" }, [...counts].map(([verdict, n]) => make("span", { class: kindOf(verdict) }, `${signOf(verdict)} ${n} ${verdict}`)), make("span", { class: "muted" }, `up to ${errorText(worst)}`));
  }

  line(row) {
    const isFirst = row === this.model.first;
    return make("tr", { id: "p" + row.index, class: `row ${kindOf(row.verdict)}${isFirst ? " first" : ""}`, "data-index": row.index, click: (event) => this.clicked(event, row) }, this.columns.map(([key, , , kind]) => this.cell(row, key, kind)));
  }

  cell(row, key, kind) {
    if (key === "order") {
      return make("td", { class: kind }, make("a", { href: "#p" + row.index, title: "Link to this row" }, String(row.index)));
    }
    if (key === "name") {
      return make("th", { scope: "row" }, nameOf(row.name), row.operation ? make("span", { class: "muted" }, " ", row.operation) : null, row === this.model.first ? make("span", { class: "flag" }, "first divergence") : null);
    }
    if (key === "other") {
      return make("td", { class: kind }, row.other === row.name ? make("span", { class: "muted" }, "the same name") : nameOf(row.other));
    }
    return key === "verdict" ? make("td", null, badge(row.verdict)) : make("td", { class: kind }, cellText(row, key), key === "error" ? this.bar(row) : null);
  }

  /* The error as a length, on the logarithm from 1e-8 to 1. */
  bar(row) {
    const bar = make("span", { class: "length", "aria-hidden": "true" });
    bar.style.setProperty("--share", row.error > 0 ? String(Math.min(Math.max((Math.log10(row.error) + 8) / 8, 0), 1)) : "0");
    return bar;
  }

  /* ---- what people do */

  sortBy(key) {
    const isNumber = !["name", "other", "order", "layer"].includes(key);
    this.sort = this.sort[0] === key ? [key, -this.sort[1]] : [key, isNumber ? -1 : 1];
    this.render();
    this.table.querySelector("th[aria-sort]:not([aria-sort=none]) button").focus();
  }

  toggle(key) {
    this.toggled[this.toggled.has(key) ? "delete" : "add"](key);
    this.render();
    [...this.table.querySelectorAll("tr.group button")].find((button) => button.lastChild.textContent === visible(key)).focus();
  }

  clicked(event, row) {
    if (event.target.closest("a, button") || String(getSelection()) !== "") {
      return;
    }
    this.mark(row.index);
    this.toggleDetails(row.index);
  }

  toggleDetails(index) {
    if (this.detailed.delete(index)) {
      const next = this.lineOf(index).nextElementSibling;
      next.remove();
      return;
    }
    this.detailed.add(index);
    this.showDetails(index);
    history.replaceState(null, "", "#p" + index);
  }

  showDetails(index) {
    const line = this.lineOf(index);
    if (line && !(line.nextElementSibling && line.nextElementSibling.classList.contains("more"))) {
      line.after(make("tr", { class: "more" }, make("td", { colspan: this.columns.length }, detailsOf(this.model, this.model.rows[index]))));
    }
  }

  lineOf(index) {
    return this.table.querySelector(`#p${index}`);
  }

  mark(index) {
    this.table.querySelectorAll("tr.current").forEach((line) => line.classList.remove("current"));
    const line = index >= 0 ? this.lineOf(index) : null;
    if (line) {
      line.classList.add("current");
    }
    this.current = index;
  }

  /* Shows a row wherever it is: without a filter that hides it, and with its group unfolded. */
  reveal(index, isDetailed) {
    const row = this.model.rows[index];
    if (!row) {
      return;
    }
    if (!this.isWanted(row)) {
      this.clear();
    }
    if (!this.lineOf(index)) {
      this.toggled[this.toggled.has(GROUPS[this.mode][1](this.model, row)) ? "delete" : "add"](GROUPS[this.mode][1](this.model, row));
      this.render();
    }
    this.mark(index);
    if (isDetailed) {
      this.detailed.add(index);
      this.showDetails(index);
    }
    this.lineOf(index).scrollIntoView({ block: "center", behavior: "instant" });
  }

  clear() {
    this.text = this.input.value = "";
    this.verdict = this.select.value = "all";
    this.render();
  }

  /* j and k */
  step(by) {
    const lines = [...this.table.querySelectorAll("tr.row")], at = lines.findIndex((line) => Number(line.dataset.index) === this.current);
    const next = lines[at < 0 ? Math.max(lines.findIndex((line) => line.classList.contains("first")), 0) : Math.min(Math.max(at + by, 0), lines.length - 1)];
    if (next) {
      this.mark(Number(next.dataset.index));
      next.scrollIntoView({ block: "nearest", behavior: "instant" });
    }
  }

  key(event) {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === "Escape" && event.target === this.input) {
      this.clear();
      this.input.blur();
    } else if (isTyping) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      this.input.focus();
    } else if (event.key === "j" || event.key === "k") {
      this.step(event.key === "j" ? 1 : -1);
    } else if (event.key === "Enter" && this.current >= 0 && !event.target.closest("a, button, summary, canvas, svg") && this.lineOf(this.current)) {
      this.toggleDetails(this.current);
    }
  }

  build() {
    this.input = make("input", { type: "search", placeholder: "Filter by name or operation", "aria-label": "Filter by name or operation", input: () => { this.text = this.input.value.toLowerCase(); this.toggled.clear(); this.render(); } });
    const verdicts = [...new Set(this.model.rows.map((row) => row.verdict))];
    const options = [["all", "every verdict"], ["failing", "only what fails"], ...verdicts.map((verdict) => [verdict, `${signOf(verdict)} ${verdict}`])];
    this.select = make("select", { "aria-label": "Verdict", change: () => { this.verdict = this.select.value; this.toggled.clear(); this.render(); } }, options.map(([value, title]) => make("option", { value }, title)));
    const modes = make("select", { "aria-label": "Fold", change: () => { this.mode = modes.value; this.toggled.clear(); this.render(); } }, Object.entries(GROUPS).map(([value, [title]]) => make("option", { value }, title)));
    const help = make("p", { class: "keys muted" }, make("kbd", null, "j"), " ", make("kbd", null, "k"), " next, previous · ", make("kbd", null, "Enter"), " details · ", make("kbd", null, "/"), " filter · ", make("kbd", null, "Esc"), " clear");
    return section("pairs", this.model.isWeights ? "Weights" : "Pairs", make("div", { class: "controls" }, this.input, this.select, modes, this.status), make("div", { class: "scroll" }, this.table), help);
  }
}
