"use strict";

/* Error along depth: relative L2 over execution order, on a logarithmic scale. A fault is a step; rounding that adds up is a drift. */

const MARGIN = { left: 56, right: 14, top: 30, bottom: 40 };
const LEAST = 1e-10; /* smaller errors are drawn on the line of zero */

const SERIES = [
  ["noise", "Noise: tolerance (band), expected rounding (ticks)"],
  ["median", "Median of each layer"],
  ["inherited", "Inherited"],
  ["added", "Added here"],
];

function finiteErrors(rows) {
  return rows.flatMap((row) => [row.error, row.limit, row.added, row.inherited]).filter((error) => Number.isFinite(error) && error >= LEAST);
}

/* The decades between which everything lies; what is 0 lies below them. */
function decadesOf(rows) {
  const exponents = finiteErrors(rows).map(Math.log10);
  const low = exponents.reduce((a, b) => Math.min(a, b), 0), high = exponents.reduce((a, b) => Math.max(a, b), -3);
  return [Math.floor(low) - 1, Math.ceil(high + 0.05)];
}

function scalesOf(rows, width, height) {
  const [low, high] = decadesOf(rows);
  const inner = width - MARGIN.left - MARGIN.right, tall = height - MARGIN.top - MARGIN.bottom;
  const step = inner / Math.max(rows.length, 1);
  const y = (error) => {
    const place = error < LEAST ? low : Math.min(Math.max(Math.log10(error), low), high);
    return MARGIN.top + (high - place) / (high - low) * tall;
  };
  return { low, high, width, height, step, y, x: (place) => MARGIN.left + (place + 0.5) * step, bottom: MARGIN.top + tall };
}

/* Infinite and missing errors are drawn at the top. */
function heightOf(row, scales) {
  return Number.isFinite(row.error) ? scales.y(row.error) : scales.y(10 ** scales.high);
}

/* Runs of pairs of one pass and layer: [{from, to, layer, pass}], to excluded. */
function runsOf(rows) {
  const runs = [];
  rows.forEach((row, place) => {
    const last = runs[runs.length - 1];
    if (last && last.layer === row.layer && last.pass === row.pass) {
      last.to = place + 1;
    } else {
      runs.push({ from: place, to: place + 1, layer: row.layer, pass: row.pass });
    }
  });
  return runs;
}

function gridOf(scales) {
  const every = Math.ceil((scales.high - scales.low) / 7), group = draw("g", { class: "grid" });
  for (let exponent = scales.high; exponent >= scales.low; exponent--) {
    const y = scales.y(10 ** exponent), isZero = exponent === scales.low;
    if (!isZero && (scales.high - exponent) % every !== 0) {
      continue;
    }
    group.append(draw("line", { x1: MARGIN.left, x2: scales.width - MARGIN.right, y1: y.toFixed(1), y2: y.toFixed(1) }),
      draw("text", { x: MARGIN.left - 8, y: (y + 4).toFixed(1), "text-anchor": "end" }, isZero ? "0" : "1e" + String(exponent).replace("-", "−")));
  }
  return group;
}

function layersOf(rows, scales) {
  const group = draw("g", { class: "layers" });
  let labelEnd = -Infinity, pass = null;
  runsOf(rows).forEach((run, i) => {
    const left = MARGIN.left + run.from * scales.step, width = (run.to - run.from) * scales.step, middle = left + width / 2;
    if (run.layer >= 0 && i % 2 === 0) {
      group.append(draw("rect", { x: left.toFixed(1), y: MARGIN.top, width: width.toFixed(1), height: (scales.bottom - MARGIN.top).toFixed(1) }));
    }
    if (run.layer >= 0 && middle - labelEnd > 14) {
      group.append(draw("text", { x: middle.toFixed(1), y: scales.bottom + 15, "text-anchor": "middle" }, String(run.layer)));
      labelEnd = middle + 4 + 4 * String(run.layer).length;
    }
    if (pass !== null && run.pass !== pass) {
      group.append(draw("line", { class: "pass", x1: left.toFixed(1), x2: left.toFixed(1), y1: MARGIN.top, y2: scales.bottom }));
    }
    pass = run.pass;
  });
  return group;
}

/* An area from the bottom up to a value of each pair. */
function bandPath(rows, scales, valueOf) {
  let path = "", open = false;
  rows.forEach((row, place) => {
    const value = valueOf(row), left = MARGIN.left + place * scales.step;
    if (!(value > 0)) {
      path += open ? `V${scales.bottom.toFixed(1)}Z` : "";
      open = false;
      return;
    }
    path += (open ? "" : `M${left.toFixed(1)},${scales.bottom.toFixed(1)}`) + `V${scales.y(value).toFixed(1)}H${(left + scales.step).toFixed(1)}`;
    open = true;
  });
  return open ? path + `V${scales.bottom.toFixed(1)}Z` : path;
}

/* A dot for each pair: lines without a length, whose caps are round. */
function dotsPath(rows, scales, places) {
  return places.map((place) => `M${scales.x(place).toFixed(2)},${heightOf(rows[place], scales).toFixed(2)}h0`).join("");
}

function linePath(rows, scales, valueOf) {
  let path = "", open = false;
  rows.forEach((row, place) => {
    const value = valueOf(row);
    if (Number.isFinite(value)) {
      path += `${open ? "L" : "M"}${scales.x(place).toFixed(1)},${scales.y(value).toFixed(1)}`;
    }
    open = Number.isFinite(value);
  });
  return path;
}

function ticksPath(rows, scales, valueOf) {
  const half = Math.max(2, Math.min(5, scales.step / 2));
  return rows.map((row, place) => Number.isFinite(valueOf(row)) ? `M${(scales.x(place) - half).toFixed(1)},${scales.y(valueOf(row)).toFixed(1)}h${(2 * half).toFixed(1)}` : "").join("");
}

function medianOf(values) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return sorted.length > 0 ? sorted[sorted.length >> 1] : NaN;
}

function medianPath(rows, scales) {
  let path = "", open = false;
  for (const run of runsOf(rows)) {
    const median = medianOf(rows.slice(run.from, run.to).map((row) => row.error));
    if (run.layer < 0 || Number.isNaN(median)) {
      open = false;
      continue;
    }
    const y = scales.y(Math.min(median, 10 ** scales.high)).toFixed(1), left = MARGIN.left + run.from * scales.step;
    path += `${open ? "V" : `M${left.toFixed(1)},`}${y}H${(left + (run.to - run.from) * scales.step).toFixed(1)}`;
    open = true;
  }
  return path;
}

/* The places of the pairs of each kind, worst last, so that it is drawn on top. */
function placesByKind(rows) {
  const kinds = new Map(["good", "soft", "unknown", "after", "bad"].map((kind) => [kind, []]));
  rows.forEach((row, place) => {
    if (!Number.isNaN(row.error) || kindOf(row.verdict) === "bad") {
      kinds.get(kindOf(row.verdict)).push(place);
    }
  });
  return kinds;
}

/* Its name is on the side with more room, and as long as that. */
function firstMark(model, rows, scales) {
  const place = rows.indexOf(model.first);
  if (place < 0) {
    return null;
  }
  const x = scales.x(place), right = scales.width - MARGIN.right - x, toLeft = x > right, title = "first divergence: ";
  const most = Math.max(0, Math.floor(Math.max(x, right) / 7) - title.length), name = visible(model.first.name);
  return draw("g", { class: "first-mark" }, draw("line", { x1: x.toFixed(1), x2: x.toFixed(1), y1: MARGIN.top - 8, y2: scales.bottom }),
    draw("text", { x: (x + (toLeft ? -6 : 6)).toFixed(1), y: MARGIN.top - 12, "text-anchor": toLeft ? "end" : "start" }, title, name.length > most ? name.slice(0, Math.max(most - 1, 0)) + "…" : name));
}

function drawChart(model, rows, scales, hidden) {
  const shown = (name) => !hidden.has(name);
  const size = Math.max(3.4, Math.min(7, scales.step * 1.6));
  const path = (name, d) => d ? draw("path", { class: name, d }) : null;
  const svg = draw("svg", { viewBox: `0 0 ${scales.width} ${scales.height}`, width: scales.width, height: scales.height, role: "img", tabindex: "0", "aria-labelledby": "chart-text",
    "data-low": scales.low, "data-high": scales.high, "data-top": MARGIN.top, "data-bottom": scales.bottom });
  append(svg, [layersOf(rows, scales),
    shown("noise") ? [path("band", bandPath(rows, scales, (row) => row.limit)), path("expected", ticksPath(rows, scales, (row) => row.expected))] : [], gridOf(scales)]);
  append(svg, [shown("inherited") ? path("inherited", linePath(rows, scales, (row) => row.inherited)) : null]);
  for (const [kind, places] of placesByKind(rows)) {
    append(svg, [places.length > 0 ? draw("path", { class: "dots " + kind, "stroke-width": size.toFixed(1), d: dotsPath(rows, scales, places), "data-places": places.join(" ") }) : null]);
  }
  append(svg, [shown("added") ? path("added", ticksPath(rows, scales, (row) => row.added)) : null, shown("median") ? path("median", medianPath(rows, scales)) : null, firstMark(model, rows, scales)]);
  append(svg, [draw("text", { class: "axis", x: MARGIN.left, y: scales.height - 6 }, "execution order; numbers are layers"),
    draw("line", { class: "cursor", x1: 0, x2: 0, y1: MARGIN.top, y2: scales.bottom, visibility: "hidden" })]);
  return svg;
}

/* What the chart shows, for those who can't see it. */
function chartText(model, rows) {
  const errors = rows.map((row) => row.error).filter((error) => Number.isFinite(error));
  const range = errors.length > 0 ? `from ${errorText(errors.reduce((a, b) => Math.min(a, b)))} to ${errorText(errors.reduce((a, b) => Math.max(a, b)))}` : "unknown";
  const first = model.first ? ` The first divergence is ${model.first.name}, ${placeText(model.first)}, number ${rows.indexOf(model.first) + 1} of ${rows.length}; the pair before it has ${errorText((rows[rows.indexOf(model.first) - 1] || { error: NaN }).error)}, and it has ${errorText(model.first.error)}.` : "";
  return `Chart of the ${model.measure} of ${count(rows.length, "pair")} in execution order, ${range}.${first} The table below has every value.`;
}

function hoverText(model, row) {
  const parts = [`${model.measure} ${errorText(row.error)}`, `tolerance ${errorText(row.limit)}`];
  if (!Number.isNaN(row.inherited)) {
    parts.push(`inherited ${errorText(row.inherited)}`);
  }
  if (!Number.isNaN(row.added)) {
    parts.push(`added here ${errorText(row.added)} (expected ${errorText(row.expected)})`);
  }
  return [badge(row.verdict), " ", nameOf(row.name), row.operation ? [" (", nameOf(row.operation), ")"] : null, row.layer >= 0 ? `, layer ${row.layer}` : "", ": ", parts.join(", ")];
}

/* Hover, click and arrow keys: `pick` is called with the pair that is chosen. */
function listen(svg, model, rows, scales, output, pick) {
  const cursor = svg.querySelector(".cursor");
  let place = -1;
  const point = (next) => {
    place = Math.min(Math.max(next, 0), rows.length - 1);
    setAll(cursor, { x1: scales.x(place).toFixed(1), x2: scales.x(place).toFixed(1), visibility: "visible" });
    output.replaceChildren();
    append(output, hoverText(model, rows[place]));
  };
  const under = (event) => Math.floor((event.clientX - svg.getBoundingClientRect().left - MARGIN.left) / scales.step);
  svg.addEventListener("pointermove", (event) => point(under(event)));
  svg.addEventListener("click", (event) => { point(under(event)); pick(rows[place]); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      point(place < 0 && model.first ? rows.indexOf(model.first) : place + step);
    } else if (event.key === "Enter" && place >= 0) {
      event.stopPropagation();
      pick(rows[place]);
    }
  });
}

function legendOf(model, hidden, redraw) {
  const toggle = ([name, label]) => {
    const box = make("input", { type: "checkbox", change: () => { hidden[box.checked ? "delete" : "add"](name); redraw(); } });
    box.checked = !hidden.has(name);
    return make("label", { class: "key " + name }, box, make("span", { class: "swatch", "aria-hidden": "true" }), label);
  };
  const series = SERIES.filter(([name]) => name !== "added" || model.hasReplay);
  const kinds = [...new Set(model.rows.map((row) => row.verdict))];
  return make("div", { class: "legend" }, kinds.map((verdict) => make("span", { class: "key" }, badge(verdict))), series.map(toggle));
}

/* The chart in its section; drawn again when its width changes. */
function depthChart(model, pick) {
  const rows = model.rows, hidden = new Set();
  const holder = make("div", { class: "chart" }), output = make("output", { class: "hover" }, "Move over the chart, or focus it and use the arrow keys; click or Enter shows the pair.");
  const redraw = () => {
    const width = Math.max(300, Math.floor(holder.clientWidth)), scales = scalesOf(rows, width, width < 600 ? 260 : 320);
    const svg = drawChart(model, rows, scales, hidden);
    holder.replaceChildren(svg);
    listen(svg, model, rows, scales, output, pick);
  };
  let before = 0;
  new ResizeObserver(() => {
    if (Math.abs(holder.clientWidth - before) > 1) {
      before = holder.clientWidth;
      redraw();
    }
  }).observe(holder);
  const isOrdered = model.result.order !== "unknown";
  return section("depth", "Error along depth", isOrdered ? null : make("p", { class: "muted" }, "Neither side has an order: pairs are in the order of their files, and depth means nothing here."),
    holder, output, make("p", { id: "chart-text", class: "visually-hidden" }, chartText(model, rows)), legendOf(model, hidden, redraw));
}
