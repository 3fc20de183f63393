"use strict";

/* The graph around a pair: what it was computed from, its operation with its parameters by name, and what it fed. */

const MOST_SHOWN = 12; /* neighbours on a side */

function nodeCard(model, row, role) {
  return make("a", { class: "node " + kindOf(row.verdict), href: "#p" + row.index }, badge(row.verdict), " ", nameOf(row.name),
    make("span", { class: "muted" }, ` ${row.operation} ${shapeText(row.pair.candidate.shape)}`),
    make("span", { class: "error" }, `${role} ${errorText(row.error)}`));
}

function neighbourList(model, title, indexes, role, none) {
  const rows = indexes.map((index) => model.rows[index]);
  const more = rows.length > MOST_SHOWN ? make("p", { class: "muted" }, `and ${rows.length - MOST_SHOWN} more`) : null;
  return make("div", { class: "side" }, make("h4", null, title), rows.length === 0 ? make("p", { class: "muted" }, none) : rows.slice(0, MOST_SHOWN).map((row) => nodeCard(model, row, role)), more);
}

function parameterText(value) {
  return Array.isArray(value) ? "[" + value.map((each) => digits(numberOf(each), 7)).join(", ") + "]" : typeof value === "string" ? value : digits(value, 7);
}

/* Both sides' parameters by name; a side without one has a dash. */
function parameterTable(pair) {
  const own = pair.candidate.params || {}, other = pair.reference.params || {};
  const names = [...new Set([...Object.keys(own), ...Object.keys(other)])];
  const cell = (params, name) => ({ number: Object.hasOwn(params, name) ? parameterText(params[name]) : "–" });
  return names.length === 0 ? null : plainTable("Parameters", ["name", "reference", "candidate"], names.map((name) => [nameOf(name), cell(other, name), cell(own, name)]));
}

function operationCard(model, row) {
  const pair = row.pair, weights = model.first === row ? model.result.first_divergence.weights || [] : [];
  const interval = model.first === row ? model.result.first_divergence.interval || [] : [];
  return make("div", { class: "centre node " + kindOf(row.verdict) }, make("h4", null, badge(row.verdict), " ", nameOf(row.name)),
    facts([["operation", nameOf(row.operation || "unknown")], ["reference", [nameOf(row.other), pair.reference.op ? [" (", nameOf(pair.reference.op), ")"] : null]],
      ["in the reference's code", pair.reference.where ? nameOf(pair.reference.where) : null],
      ["shape", shapeText(pair.candidate.shape)], ["type", pair.candidate.dtype], ["computed by", pair.candidate.backend || null],
      ["weights", weights.length > 0 ? listText(weights.map((weight) => weight.name)) : null],
      ["between it and its inputs, without a partner", interval.length > 0 ? listText(interval.slice(0, 8).map((node) => `${node.name} (${node.op})`)) : null]]),
    parameterTable(pair));
}

/* Operations near a pair that only one side ran: those of its layer and pass. */
function aloneNear(model, row) {
  const near = (nodes) => nodes.filter((node) => node.layer === row.layer && (node.pass === row.pass || node.pass === null));
  const sides = [["reference", near(model.result.pairing.reference_only)], ["candidate", near(model.result.pairing.candidate_only)]].filter(([, nodes]) => nodes.length > 0);
  if (sides.length === 0) {
    return null;
  }
  const line = ([side, nodes]) => make("p", null, make("strong", null, `Only the ${side}: `), listText(nodes.slice(0, MOST_SHOWN * 2).map((node) => node.name + (node.op ? ` (${node.op})` : ""))), nodes.length > MOST_SHOWN * 2 ? ` and ${nodes.length - MOST_SHOWN * 2} more` : "", ".");
  const title = `Operations ${row.layer >= 0 ? "in this layer" : "outside the layers"} that only one side ran: ` + listText(sides.map(([side, nodes]) => `${nodes.length} of the ${side}`));
  return make("details", null, make("summary", null, title), sides.map(line));
}

function neighbours(model, row) {
  return make("div", { class: "graph-holder" }, make("div", { class: "graph" },
    neighbourList(model, "Computed from", row.inputs, "error", "nothing that is paired"),
    make("div", { class: "arrow", "aria-hidden": "true" }), operationCard(model, row), make("div", { class: "arrow", "aria-hidden": "true" }),
    neighbourList(model, "Feeds", row.feeds, "error", "nothing that is paired")), aloneNear(model, row));
}
