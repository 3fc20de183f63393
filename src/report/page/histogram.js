"use strict";

/* Histograms with a logarithmic count, because nearly all differences are near zero. */

function barsOf(counts, name, height, width) {
  const most = Math.log1p(Math.max(...counts, 1)), step = width / counts.length;
  return counts.map((n, i) => {
    const tall = n > 0 ? Math.max(1.5, Math.log1p(n) / most * height) : 0;
    return n > 0 ? draw("rect", { class: name, x: (i * step).toFixed(2), y: (height - tall).toFixed(2), width: Math.max(step - 0.6, 0.4).toFixed(2), height: tall.toFixed(2) }) : null;
  });
}

function outlineOf(counts, name, most, height, width) {
  const step = width / counts.length, y = (n) => (height - Math.log1p(n) / Math.log1p(most) * height).toFixed(2);
  return draw("path", { class: name, d: `M0,${height}` + counts.map((n, i) => `V${y(n)}H${((i + 1) * step).toFixed(2)}`).join("") + `V${height}` });
}

function scaleOf(low, high, height, width) {
  const mark = (x, anchor, value) => draw("text", { x, y: height + 13, "text-anchor": anchor }, digits(value));
  return [draw("line", { x1: 0, x2: width, y1: height, y2: height }), mark(0, "start", low), mark(width / 2, "middle", (low + high) / 2), mark(width, "end", high)];
}

function frame(label, children, height, width) {
  return append(draw("svg", { class: "histogram", viewBox: `-4 -4 ${width + 8} ${height + 22}`, role: "img", "aria-label": label }), children.flat());
}

function histogramOfDifferences(picture) {
  const limit = numberOf(picture.largest_difference), height = 90, width = 320;
  const middle = picture.differences.slice(31, 33).reduce((a, b) => a + b, 0), all = picture.differences.reduce((a, b) => a + b, 0);
  const label = `Histogram of ${all.toLocaleString("en")} differences from ${digits(-limit)} to ${digits(limit)}; ${percent(all > 0 ? middle / all : 0)} of them are smaller than ${digits(limit / 32)}.`;
  return make("figure", null, make("figcaption", null, make("strong", null, "Differences"), " candidate − reference; counts on a logarithmic scale"),
    frame(label, [barsOf(picture.differences, "bar", height, width), scaleOf(-limit, limit, height, width)], height, width));
}

function histogramOfValues(picture) {
  const height = 90, width = 320, most = Math.max(...picture.reference_values, ...picture.candidate_values, 1);
  const low = numberOf(picture.low), high = numberOf(picture.high);
  const label = `Histograms of both sides' values from ${digits(low)} to ${digits(high)}.`;
  return make("figure", null, make("figcaption", null, make("strong", null, "Values"), " ", make("span", { class: "swatch reference" }), "reference ", make("span", { class: "swatch candidate" }), "candidate"),
    frame(label, [outlineOf(picture.reference_values, "outline reference", most, height, width), outlineOf(picture.candidate_values, "outline candidate", most, height, width), scaleOf(low, high, height, width)], height, width));
}
