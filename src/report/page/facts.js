"use strict";

/* How pairs were found, what has none, and where everything comes from. */

function methodTable(by) {
  const used = Object.entries(by).filter(([, n]) => n > 0);
  return used.length > 0 ? plainTable("Paired by", ["method", "pairs"], used.map(([method, n]) => [method, { number: n.toLocaleString("en") }])) : null;
}

function nodeLine(node) {
  return typeof node === "string" ? [nameOf(node), "", "", ""] : [nameOf(node.name), node.op || "", { number: node.layer >= 0 ? String(node.layer) : "" }, shapeText(node.shape)];
}

/* Rows are made when they are asked for: there may be thousands. */
function aloneList(title, nodes) {
  const details = make("details", null, make("summary", null, `${title}: ${nodes.length.toLocaleString("en")}`));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(plainTable(title, ["name", "operation", "layer", "shape"], nodes.slice(0, 2000).map(nodeLine)));
    }
  });
  return nodes.length > 0 ? details : make("p", null, `${title}: none`);
}

function replayFacts(replay) {
  if (!replay) {
    return null;
  }
  const counts = Object.entries(replay.counts).filter(([, n]) => n > 0).map(([kind, n]) => `${n.toLocaleString("en")} ${kind}`);
  return facts([["operations computed from the reference's values", listText(counts)], ["at fault", String(replay.origins)], ["kernels checked on their own inputs", `${replay.kernels.checked} of ${replay.kernels.operations}, ${replay.kernels.differ} wrong`],
    ["weights as in the file", `${replay.weights.verified} verified, ${replay.weights.assumed} assumed`]]);
}

function pairing(model) {
  const result = model.result, found = model.isWeights ? result.weights : result.pairing;
  if (!found) {
    return null;
  }
  return section("pairing", "Pairing",
    facts([["elements compared", percent(numberOf(found.coverage))], ["preset", found.preset], ["absorbed into a bias or weight", found.absorbed > 0 ? String(found.absorbed) : null], ["inputs", result.inputs ? inputsText(result.inputs) : null]]),
    methodTable(found.by), replayFacts(result.replay),
    aloneList("Only in the reference", found.reference_only), aloneList("Only in the candidate", found.candidate_only), elsewhere(found.found_elsewhere));
}

function inputsText(inputs) {
  return `${inputs.status}; ${inputs.rows_paired} of ${inputs.reference_rows} and ${inputs.candidate_rows} rows paired` + (inputs.message ? `; ${inputs.message}` : "");
}

function elsewhere(finds) {
  if (!finds || finds.length === 0) {
    return null;
  }
  return plainTable("Content found under another name", ["side", "tensor", "is", "NMSE"], finds.map((find) => [find.side, nameOf(find.name), [nameOf(find.of), find.equals ? ` as ${find.equals}` : ""], { number: errorText(numberOf(find.nmse)) }]));
}

/* Of two traces whose checkpoints were compared, too: the settings in which these differ. */
function settingsOfTraces(model) {
  const settings = model.result.configuration || [];
  const line = (entry) => [entry.meaning, settingText(entry.reference), settingText(entry.candidate)];
  return !model.isWeights && settings.length > 0 ? section("config", "Settings in which the checkpoints differ", plainTable(count(settings.length, "setting"), ["setting", "reference", "candidate"], settings.map(line))) : null;
}

/* Of two traces whose checkpoints were compared, too: the weights that are not the reference's. */
function wrongWeights(model) {
  const weights = Array.isArray(model.result.weights) ? model.result.weights.filter((pair) => !["identical", "match"].includes(pair.verdict)) : [];
  if (weights.length === 0) {
    return null;
  }
  const line = (pair) => [nameOf(pair.candidate.name), nameOf(pair.reference.name), { number: errorText(pair.metrics ? numberOf(pair.metrics.nmse) : NaN) }, badge(pair.verdict), pair.cause || pair.reason || ""];
  return section("weights", "Weights that are not the reference's", plainTable(`${weights.length} of ${count(model.result.weights.length, "weight")} that were compared`, ["candidate", "reference", "NMSE", "verdict", "cause"], weights.map(line)));
}

/* One operation in all of its passes: [[operation, …], …]. */
function byOperation(operations) {
  const groups = new Map();
  for (const operation of operations) {
    const key = JSON.stringify([operation.name, operation.op, operation.layer]);
    groups.set(key, [...(groups.get(key) || []), operation]);
  }
  return [...groups.values()];
}

function whyAtFault(operation) {
  if (operation.rule) {
    return `${operation.rule.id}: right with ${operation.rule.instead}`;
  }
  return operation.wrong_weight ? `${operation.wrong_weight.name}: ${operation.wrong_weight.text || "not the reference's"}` : "";
}

function largestOf(operations, key) {
  const values = operations.filter((operation) => operation.added).map((operation) => numberOf(operation.added[key]));
  return { number: values.length > 0 ? errorText(Math.max(...values)) : "–" };
}

/* Operations that were computed from the reference's own values and are at fault. */
function origins(model) {
  const found = byOperation(((model.result.replay && model.result.replay.operations) || []).filter((operation) => operation.origin));
  if (found.length === 0) {
    return null;
  }
  const byNode = new Map(model.rows.map((row) => [row.order, row]));
  const line = (group) => [byNode.has(group[0].node) ? linkTo(byNode.get(group[0].node)) : nameOf(group[0].name), group[0].op, { number: group[0].layer >= 0 ? String(group[0].layer) : "" }, { number: String(group.length) },
    largestOf(group, "rel_l2"), largestOf(group, "expected"), whyAtFault(group[0])];
  return section("origins", "At fault, computed from the reference's own values", plainTable("Each is wrong by itself, whatever came before", ["operation", "kind", "layer", "passes", "added here", "expected", "why"], found.slice(0, 200).map(line)),
    found.length > 200 ? make("p", { class: "muted" }, `and ${found.length - 200} more`) : null);
}

function notes(model) {
  const lines = [...(model.result.hints || []), ...["reference", "candidate"].flatMap((side) => (model.result[side].notes || []).map((note) => `${side}: ${note}`))];
  return lines.length > 0 ? section("notes", "What this can't show", make("ul", null, [...new Set(lines)].map((line) => make("li", null, sentence(line))))) : null;
}

function sideFacts(side) {
  return facts([["path", nameOf(side.path)], ["engine", [side.engine, side.engine_version].filter(Boolean).join(" ") || null], ["format", side.format || null], ["model", side.model || side.architecture || null], ["device", side.device || null],
    ["recorded", side.started || null], ["tensors", side.tensors !== undefined ? side.tensors.toLocaleString("en") : null], ["complete", side.complete === undefined ? null : side.complete ? "yes" : "no"], ["values lost", side.dropped > 0 ? String(side.dropped) : null],
    ["command", side.command && side.command.length > 0 ? commandLine(shellLine(side.command)) : null]]);
}

function provenance(model) {
  const { result } = model, produced = result.produced || {};
  return section("provenance", "Provenance",
    make("div", { class: "columns" }, make("div", null, make("h3", null, "Reference"), sideFacts(result.reference)), make("div", null, make("h3", null, "Candidate"), sideFacts(result.candidate))),
    facts([["compared by", produced.version ? `lockstep ${produced.version}` : null], ["on", produced.date || null], ["types", listText([...new Set(model.rows.map((row) => model.isWeights ? row.operation : row.pair.candidate.dtype))].slice(0, 12)) || null], ["with", produced.command ? commandLine(produced.command) : null]]));
}
