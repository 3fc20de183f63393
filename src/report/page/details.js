"use strict";

/* Everything about one pair, below its row. */

const METRICS = [
  ["rel_l2", "rel. L2"], ["max_abs", "max |d|"], ["max_rel", "max relative"], ["mean_abs", "mean |d|"], ["rmse", "RMSE"], ["nmse", "NMSE"], ["cosine", "cosine"],
  ["sqnr_db", "SQNR (dB)"], ["max_ulp", "max ULP"], ["beyond", "elements beyond"], ["elements", "elements"], ["nan_reference", "NaN, reference"], ["nan_candidate", "NaN, candidate"],
  ["inf_reference", "infinite, reference"], ["inf_candidate", "infinite, candidate"], ["masked", "masked"],
];
const ONLY_IF_ANY = new Set(["nan_reference", "nan_candidate", "inf_reference", "inf_candidate", "masked"]);

function metricFacts(pair) {
  const metrics = pair.metrics;
  if (!metrics) {
    return null;
  }
  const entries = METRICS.filter(([key]) => !ONLY_IF_ANY.has(key) || metrics[key] > 0).map(([key, title]) => [title, digits(numberOf(metrics[key]), 5)]);
  return facts(entries);
}

function statisticsTable(pair) {
  const metrics = pair.metrics, keys = ["min", "max", "mean", "std", "l2"];
  if (!metrics) {
    return null;
  }
  const line = (side) => [side, ...keys.map((key) => ({ number: digits(numberOf(metrics[side][key]), 5) }))];
  return plainTable("Statistics of the finite values", ["side", ...keys], [line("reference"), line("candidate")]);
}

function howFacts(pair) {
  return facts([["paired by", pair.by], ["layout", pair.layout || null], ["precision", pair.precision || null], ["excuse", pair.excuse || null], ["why not compared", pair.reason || null], ["region", pair.region || null],
    ["cause", pair.cause || null], ["contradiction", pair.contradiction || null], ["grade", pair.grade || null]]);
}

function detailsOf(model, row) {
  const graph = model.isWeights ? null : neighbours(model, row);
  return make("div", { class: "details" }, howFacts(row.pair), metricFacts(row.pair), statisticsTable(row.pair), graph, pictureOf(model, row));
}
