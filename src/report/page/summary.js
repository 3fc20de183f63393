"use strict";

/* The top of the page: the verdict, the first divergence and its cause, as a person would say them. */

const HEADLINES = {
  "match": ["good", "✓", "The two runs match"],
  "model match": ["good", "✓", "The model matches; its kernels were not checked"],
  "match (eager)": ["good", "✓", "The two runs match, without the compiler"],
  "diverged": ["bad", "✕", "The two runs diverge"],
  "inputs-differ": ["bad", "✕", "The two runs had different inputs"],
  "incomparable": ["unknown", "?", "The two runs can't be compared"],
  "differs": ["bad", "✕", "The checkpoints differ"],
  "incomplete": ["unknown", "?", "Nothing differs, but not everything could be compared"],
};
const CHECKPOINT_MATCH = ["good", "✓", "The checkpoints match"];

function headlineOf(model) {
  if (model.isWeights && model.result.verdict === "match") {
    return CHECKPOINT_MATCH;
  }
  return HEADLINES[model.result.verdict] || ["unknown", "?", model.result.verdict];
}

function placeText(row) {
  return row.layer >= 0 ? `layer ${row.layer}` : "outside the layers";
}

function linkTo(row, ...children) {
  return make("a", { href: "#p" + row.index }, children.length > 0 ? children : nameOf(row.name));
}

function listOfLinks(rows, most = 3) {
  const out = [];
  rows.slice(0, most).forEach((row, i) => out.push(i > 0 ? ", " : "", linkTo(row)));
  return rows.length > most ? [...out, ` and ${rows.length - most} more`] : out;
}

function inputsSentence(model, row) {
  const inputs = row.inputs.map((index) => model.rows[index]);
  const wrong = inputs.filter((input) => kindOf(input.verdict) !== "good" && kindOf(input.verdict) !== "soft");
  if (inputs.length === 0 && row.operation === "") {
    return [""]; /* what it is computed from is not known */
  }
  if (inputs.length === 0) {
    return ["Nothing that it is computed from has a partner in the reference."];
  }
  return wrong.length > 0 ? ["It is computed from ", listOfLinks(inputs), "."] : ["What it is computed from is right: ", listOfLinks(inputs), "."];
}

/* What is not finite, on which side. */
function notFinite(metrics) {
  const side = (name) => [[metrics["nan_" + name], "NaN"], [metrics["inf_" + name], "infinite"]].filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString("en")} ${what}`);
  const parts = ["candidate", "reference"].map((name) => `the ${name} has ${side(name).length > 0 ? listText(side(name)) : "none"}`);
  return [`Of ${count(metrics.elements, "element")}, ${listText(parts)}. Relative L2 of the others: ${digits(numberOf(metrics.rel_l2))}.`];
}

function sizeSentence(row) {
  const metrics = row.pair.metrics;
  if (metrics && row.pair.verdict === "nonfinite") {
    return notFinite(metrics);
  }
  if (!metrics) {
    return [row.pair.reason ? `It could not be compared: ${row.pair.reason}.` : ""];
  }
  const beyond = metrics.beyond > 0 ? `${count(metrics.beyond, "element")} of ${metrics.elements.toLocaleString("en")} ${metrics.beyond === 1 ? "is" : "are"} beyond tolerance` : "no single element is far off";
  const largest = Number.isFinite(row.largest) ? `; the largest difference is ${digits(row.largest)}: ${digits(numberOf(metrics.max_abs_candidate), 6)} where the reference has ${digits(numberOf(metrics.max_abs_reference), 6)}` : "";
  return [`Relative L2 ${digits(row.error)} (tolerance ${errorText(row.limit)}); ${beyond}${largest}.`];
}

function lastSentences(model) {
  const interval = model.result.first_divergence.interval;
  if (!interval || interval.length === 0) {
    return [];
  }
  return [` ${count(interval.length, "operation")} in between ${interval.length === 1 ? "has" : "have"} no partner, and may be where it began.`];
}

function firstDivergence(model) {
  const row = model.first;
  const operation = row.operation ? [" (", nameOf(row.operation), ")"] : [];
  return [
    make("p", { class: "lead" }, "It begins at ", make("strong", null, linkTo(row)), operation, `, ${placeText(row)}`, model.passes > 1 ? `, pass ${row.pass}` : "", "."),
    make("p", null, sizeSentence(row), " ", inputsSentence(model, row), lastSentences(model)),
  ];
}

function causeOf(model) {
  const first = model.result.first_divergence, causes = (first && first.causes) || [];
  if (causes.length === 0) {
    return first && first.causes ? make("div", { class: "cause none" }, make("span", { class: "label" }, "Cause"), "None of the transforms that were tried explains it.") : null;
  }
  return make("div", { class: "cause" }, make("span", { class: "label" }, causes.length > 1 ? "Causes, the likeliest first" : "Cause"), causes.map(causeText));
}

function causeText(cause) {
  const after = numberOf(cause.after), layers = cause.layers;
  const undone = Number.isNaN(after) ? "" : ` Undone, the relative L2 falls from ${errorText(numberOf(cause.before))} to ${errorText(after)}.`;
  const where = cause.where ? [" Look at ", cause.where, "."] : null;
  const affected = layers ? layers.at_fault.length : 0;
  const which = affected === layers?.of ? `All ${affected} layers have` : `${affected === 1 ? "Only layer" : "Layers"} ${listText((layers?.at_fault ?? []).map(String))} of ${layers?.of} ${affected === 1 ? "has" : "have"}`;
  const alike = affected > 0 && layers.of > 1 ? ` ${which} it.` : "";
  return make("p", null, make("strong", null, cause.rule), ": ", sentence(cause.summary).replace(/^./, cause.summary.charAt(0)), undone, where, alike);
}

/* What it means for the next token. */
function tokensSentence(model) {
  const logits = model.result.logits;
  if (!logits || logits.rows === 0) {
    return null;
  }
  const known = logits.rows - (logits.nan_rows ?? 0);
  const rows = count(known, "row") + " of logits";
  const lost = known < logits.rows ? ` ${count(logits.rows - known, "row")} more hold NaN.` : "";
  if (known === 0) {
    return make("p", null, "All rows of logits hold NaN.");
  }
  return make("p", null, logits.argmax_changed > 0 ? `The most likely next token is another one in ${logits.argmax_changed} of ${rows}.` : `The most likely next token is the same in ${known === 1 ? "the one row of logits" : `all ${rows}`}.`,
    logits.top5_changed > 0 ? ` The first five are others in ${logits.top5_changed}.` : "", lost);
}

function reasonText(model) {
  const result = model.result;
  if (result.inputs && (result.inputs.status === "differ" || result.verdict === "inputs-differ") && result.inputs.message) {
    return make("p", { class: "lead" }, result.inputs.message, ".");
  }
  return result.reason ? make("p", null, sentence(result.reason)) : null;
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : first + ".";
}

function figure(value, term, title) {
  return make("div", { class: "figure", title }, make("dd", null, value), make("dt", null, term));
}

function figuresOfTraces(model) {
  const totals = model.result.totals, pairing = model.result.pairing;
  const origins = totals.origins || (model.result.replay ? model.result.replay.origins : 0);
  return [
    figure(totals.compared.toLocaleString("en"), "pairs compared"),
    figure(totals.within.toLocaleString("en"), "within tolerance"),
    totals.explained > 0 && figure(totals.explained.toLocaleString("en"), "explained", "beyond tolerance, but explained without a fault"),
    figure((totals.beyond + totals.mismatched).toLocaleString("en"), "beyond"),
    figure(String(origins), origins === 1 ? "origin" : "origins", "operations or tensors that fail although their inputs match"),
    figure(percent(numberOf(pairing.coverage)), "of elements compared"),
  ];
}

function figuresOfWeights(model) {
  const findings = model.result.findings.filter((finding) => finding.fails).length;
  const byVerdict = (kind) => model.rows.filter((row) => kindOf(row.verdict) === kind).length;
  return [
    figure(String(findings), findings === 1 ? "finding" : "findings"),
    figure(String(model.rows.length), "weights compared"),
    figure(String(byVerdict("good")), "equal or matching"),
    figure(String(byVerdict("bad")), "differ"),
    model.result.weights && figure(percent(numberOf(model.result.weights.coverage)), "of elements compared"),
  ];
}

/* What was compared while it ran can't be opened again. */
function canBeDrawn(model) {
  return !model.result.candidate.live;
}

function pictureCommand(model, row) {
  const { reference, candidate } = model.result;
  return shellLine(["lockstep", "picture", reference.path, candidate.path, row.pair.candidate.name, ...(model.passes > 1 ? ["--pass", row.pass] : []), "-o", "picture.png"]);
}

function commandsOf(model) {
  const { result, first } = model;
  const sides = [result.reference.path, result.candidate.path];
  const commands = [result.produced && result.produced.command ? result.produced.command : shellLine(["lockstep", "diff", ...sides])];
  if (first && canBeDrawn(model)) {
    commands.push(shellLine(["lockstep", "explain", ...sides, first.pair.candidate.name]), pictureCommand(model, first));
  }
  return make("details", { class: "commands", open: true }, make("summary", null, "See it again"), commands.map(commandLine));
}

function sideText(side) {
  const engine = [side.engine, side.engine_version, side.model].filter(Boolean).join(" ") || [side.format, side.architecture].filter(Boolean).join(" ");
  return [nameOf(side.path, { class: "name path" }), engine ? make("span", { class: "muted" }, " ", engine) : null];
}

function summary(model) {
  const [kind, sign, title] = headlineOf(model);
  const findings = model.isWeights ? findingsList(model, 5) : null;
  return make("section", { id: "summary", class: "hero " + kind },
    make("div", { class: "verdict" }, make("span", { class: "mark", "aria-hidden": "true" }, sign), make("h1", null, title)),
    make("dl", { class: "sides" },
      make("div", null, make("dt", null, "Reference"), make("dd", null, sideText(model.result.reference))),
      make("div", null, make("dt", null, "Candidate"), make("dd", null, sideText(model.result.candidate)))),
    reasonText(model), model.first ? firstDivergence(model) : null, causeOf(model), tokensSentence(model), findings,
    make("dl", { class: "figures" }, model.isWeights ? figuresOfWeights(model) : figuresOfTraces(model)),
    commandsOf(model));
}

/* Findings of checkpoints in the order of suspicion; all of them, or the first few with a link to the others. */
function findingsList(model, most) {
  const findings = model.result.findings;
  const line = (finding) => make("li", { class: finding.fails ? "fails" : "" },
    make("span", { class: "badge " + (finding.fails ? "bad" : finding.gap ? "unknown" : "soft") }, finding.kind), " ",
    finding.text, finding.pair !== null && finding.pair !== undefined && model.rows[finding.pair] ? [" ", linkTo(model.rows[finding.pair], "show")] : null);
  if (findings.length === 0) {
    return null;
  }
  const rest = findings.length > most ? make("p", null, make("a", { href: "#findings" }, `All ${findings.length} findings`)) : null;
  return make("div", null, make("ol", { class: "findings" }, findings.slice(0, most).map(line)), rest);
}
