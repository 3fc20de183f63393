"use strict";

/* The result as rows, each a pair of tensors or of weights. */

function readBlock(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function layerOf(pair) {
  const layer = pair.candidate.layer;
  return layer >= 0 ? layer : pair.reference.layer;
}

/* model.layers.1.self_attn.q_proj is of model.layers.1.self_attn, and so is model.layers.1.self_attn/softmax. */
function moduleOf(name) {
  const slash = name.indexOf("/");
  return slash >= 0 ? name.slice(0, slash) : name.split(".").slice(0, -1).join(".") || name;
}

/* What computing the candidate's operations on the reference's values showed, by the candidate's node. */
function addedByNode(replay) {
  const found = new Map();
  for (const operation of (replay && replay.operations) || []) {
    if (operation.added) {
      found.set(operation.node, operation);
    }
  }
  return found;
}

/* The metrics are those of the finite values: they say little where others are not finite on one side only. */
function errorOf(pair, key) {
  if (pair.verdict === "nonfinite") {
    return Infinity;
  }
  return pair.metrics ? numberOf(pair.metrics[key]) : NaN;
}

function rowOfPair(pair, index, added) {
  const operation = added.get(pair.candidate.order);
  return {
    index, pair,
    name: pair.candidate.name, operation: pair.candidate.value_op ? `${pair.candidate.op} of ${pair.candidate.value_op}` : pair.candidate.op, other: pair.reference.name,
    layer: layerOf(pair), pass: pair.candidate.pass, module: moduleOf(pair.reference.name),
    order: pair.candidate.order,
    verdict: pair.downstream ? "downstream" : pair.verdict,
    error: errorOf(pair, "rel_l2"),
    limit: numberOf(pair.tolerance),
    largest: pair.metrics ? numberOf(pair.metrics.max_abs) : NaN,
    cosine: pair.metrics ? numberOf(pair.metrics.cosine) : NaN,
    added: operation ? numberOf(operation.added.rel_l2) : NaN,
    expected: operation ? numberOf(operation.added.expected) : NaN,
    isOrigin: Boolean(operation && operation.origin),
    inherited: NaN, inputs: pair.inputs || [], feeds: [],
  };
}

/* Inherited is the largest error among the pairs that a pair was computed from. */
function linkRows(rows) {
  for (const row of rows) {
    row.inputs = row.inputs.filter((input) => rows[input] !== undefined);
    for (const input of row.inputs) {
      rows[input].feeds.push(row.index);
    }
    const errors = row.inputs.map((input) => rows[input].error).filter((error) => !Number.isNaN(error));
    row.inherited = errors.length > 0 ? Math.max(...errors) : NaN;
  }
}

/* blk.3.attn_q.weight and model.layers.3.self_attn.q_proj.weight: layer 3, and the name without it. */
function placeOfWeight(name) {
  const found = /(^|[._])(\d+)[._]/.exec(name);
  if (!found) {
    return { layer: -1, sort: name };
  }
  const behind = name.slice(found.index + found[0].length);
  return { layer: Number(found[2]), sort: (found.index > 0 ? name.slice(0, found.index) + ".*." : "") + behind };
}

function rowOfWeight(pair, index) {
  const place = placeOfWeight(pair.candidate.name);
  const part = (side) => side.name + (side.part || "");
  return {
    index, pair,
    name: part(pair.candidate), operation: pair.candidate.dtype, other: part(pair.reference),
    layer: place.layer, pass: 0, module: place.sort, sort: place.sort, order: index,
    verdict: pair.verdict,
    error: errorOf(pair, "nmse"),
    limit: numberOf(pair.allowed_nmse),
    largest: pair.metrics ? numberOf(pair.metrics.max_abs) : NaN,
    cosine: pair.metrics ? numberOf(pair.metrics.cosine) : NaN,
    added: NaN, expected: NaN, inherited: NaN, inputs: [], feeds: [],
  };
}

function picturesByPair(block) {
  const found = new Map();
  for (const picture of (block && block.pictures) || []) {
    found.set(picture.pair, picture);
  }
  return found;
}

/* The pair of the first divergence; null where there is none. */
function rowOfFirst(first, rows) {
  if (!first) {
    return null;
  }
  return rows[first.pair] || rows.find((row) => row.order === first.candidate.order && row.pass === first.candidate.pass) || null;
}

/* Everything that the parts of the page need. */
function readModel() {
  const result = readBlock("result"), pictures = readBlock("pictures");
  const isWeights = result.kind === "checkpoints";
  const added = addedByNode(result.replay);
  const pairs = isWeights ? (result.weights && result.weights.pairs) || [] : result.pairs;
  const rows = pairs.map((pair, index) => isWeights ? rowOfWeight(pair, index) : rowOfPair(pair, index, added));
  linkRows(rows);
  return {
    result, rows, isWeights, pictures: picturesByPair(pictures), pictureBlock: pictures,
    first: rowOfFirst(result.first_divergence, rows),
    passes: new Set(rows.map((row) => row.pass)).size,
    measure: isWeights ? "NMSE" : "rel. L2",
    hasReplay: added.size > 0,
  };
}
