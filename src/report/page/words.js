"use strict";

/* Numbers and verdicts as people read them. */

/* JSON has no NaN and no infinities: they are the strings "nan", "inf" and "-inf". */
function numberOf(value) {
  if (typeof value === "number") {
    return value;
  }
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : NaN;
}

/* With so many significant digits: 0.0123, 1.4e-7, 12345. */
function digits(value, count = 3) {
  const size = Math.abs(value);
  if (value === null || value === undefined || Number.isNaN(value)) {
    return "–";
  }
  if (!Number.isFinite(value)) {
    return value > 0 ? "∞" : "−∞";
  }
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(count - 1) : String(Number(value.toPrecision(count)));
  return text.replace(/^-/, "−").replace("e-", "e−").replace("e+", "e");
}

/* An error: below 1 always as a power of ten, so that a column of them can be scanned. */
function errorText(value) {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return "–";
  }
  return value === 0 ? "0" : value >= 1 && value < 1000 ? value.toPrecision(value < 10 ? 2 : 3) : Number.isFinite(value) ? value.toExponential(1).replace("e-", "e−").replace("e+", "e") : "∞";
}

/* A tensor's value, which may be NaN. */
function valueText(value) {
  return Number.isNaN(value) ? "NaN" : digits(value, 6);
}

function percent(share) {
  return (100 * share).toFixed(1).replace(/\.0$/, "") + " %";
}

function count(number, one, many) {
  return number.toLocaleString("en") + " " + (number === 1 ? one : many || one + "s");
}

function shapeText(shape) {
  return "[" + (shape || []).join(", ") + "]";
}

function listText(words) {
  return words.length < 2 ? words.join("") : words.slice(0, -1).join(", ") + " and " + words[words.length - 1];
}

function shellWord(word) {
  return /^[\w\-./:=,@%+]+$/.test(word) ? word : "'" + word.replace(/'/g, "'\\''") + "'";
}

function shellLine(words) {
  return words.map((word) => shellWord(String(word))).join(" ");
}

/* verdict: [sign, kind for the colour, what it means] */
const VERDICTS = {
  identical: ["=", "good", "equal bits"],
  match: ["✓", "good", "within tolerance"],
  explained: ["≈", "soft", "beyond tolerance, but explained without a fault"],
  worse: ["▲", "bad", "the same weight with more error than its types cause"],
  differs: ["✕", "bad", "another weight"],
  diverged: ["✕", "bad", "beyond tolerance, although its inputs match"],
  downstream: ["↓", "after", "beyond tolerance, and so is something that it was computed from"],
  nonfinite: ["!", "bad", "NaN, or an infinity on one side only"],
  shape: ["▭", "bad", "no layout makes the shapes agree"],
  unsupported: ["?", "unknown", "the values of a side can't be read"],
  unaligned: ["?", "unknown", "which rows correspond can't be told"],
};

function signOf(verdict) {
  return (VERDICTS[verdict] || ["?"])[0];
}

function kindOf(verdict) {
  return (VERDICTS[verdict] || ["?", "unknown"])[1];
}

/* A verdict, told by a sign and a word besides its colour. */
function badge(verdict) {
  return make("span", { class: "badge " + kindOf(verdict), title: (VERDICTS[verdict] || [])[2] }, make("span", { class: "sign", "aria-hidden": "true" }, signOf(verdict)), verdict);
}
