"use strict";

/* Puts the page together. */

const THEMES = [["", "Automatic"], ["light", "Light"], ["dark", "Dark"]];

function themeSwitch() {
  const select = make("select", { "aria-label": "Colours", change: () => {
    if (select.value === "") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = select.value;
    }
    repaintPictures();
  } }, THEMES.map(([value, title]) => make("option", { value }, title)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaintPictures);
  return select;
}

/* The pair in question, or where nothing diverged, those that have pictures. */
function closeUps(model) {
  if (model.first) {
    return section("first", ["First divergence: ", nameOf(model.first.name)], neighbours(model, model.first), pictureOf(model, model.first), otherPictures(model));
  }
  const others = otherPictures(model);
  if (others && model.isWeights) {
    others.querySelector("details").open = true;
  }
  return others && section("pictures-of", "Pictures", others);
}

function whosePictures(model) {
  if (model.isWeights) {
    return "The weights that the findings are about, and those that were asked for";
  }
  return model.first ? "The pairs around it, and those that were asked for" : "The largest error for its tolerance, the last, and those that were asked for";
}

function otherPictures(model) {
  const others = [...model.pictures.keys()].filter((index) => !model.first || index !== model.first.index).map((index) => model.rows[index]);
  const more = model.pictureBlock && model.pictureBlock.more > 0 ? make("p", { class: "muted" }, `${model.pictureBlock.more} more that --picture asks for have no room in this file.`) : null;
  const one = (row) => {
    const details = make("details", { class: "close-up" }, make("summary", null, badge(row.verdict), " ", nameOf(row.name), make("span", { class: "muted" }, ` ${row.operation} ${model.measure} ${errorText(row.error)}`)));
    details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(pictureOf(model, row)));
    return details;
  };
  return others.length > 0 ? make("div", { class: "others" }, make("h3", null, whosePictures(model)), others.map(one), more) : null;
}

function navigation(parts) {
  const links = parts.filter(Boolean).filter((part) => part.id && part.id !== "summary").map((part) => make("a", { href: "#" + part.id }, SHORT[part.id] || part.id));
  return make("nav", { "aria-label": "Parts of this report" }, links);
}

const SHORT = { depth: "Depth", first: "First divergence", "pictures-of": "Pictures", origins: "At fault", weights: "Weights", pairs: "Pairs", findings: "Findings", map: "Map", config: "Configuration", vocab: "Vocabulary", pairing: "Pairing", notes: "Notes", provenance: "Provenance" };

function partsOfTraces(model, table) {
  const pick = (row) => table.reveal(row.index, true);
  if (model.rows.length === 0) {
    return [summary(model), notes(model), pairing(model), provenance(model)];
  }
  return [summary(model), depthChart(model, pick), closeUps(model), origins(model), wrongWeights(model), settingsOfTraces(model), table.element, notes(model), pairing(model), provenance(model)];
}

function partsOfWeights(model, table) {
  const findings = model.result.findings.length > 5 ? section("findings", "Findings, the most suspicious first", findingsList(model, Infinity)) : null;
  return [summary(model), findings, model.rows.length > 0 ? weightMap(model) : null, closeUps(model), model.rows.length > 0 ? table.element : null, configuration(model), vocabulary(model), pairing(model), provenance(model)];
}

function followHash(table) {
  const found = /^#p(\d+)$/.exec(location.hash);
  if (found) {
    table.reveal(Number(found[1]), true);
  }
}

function titleOf(model) {
  const last = (path) => visible(path).split("/").filter(Boolean).pop() || path;
  return `${model.result.verdict}: ${last(model.result.candidate.path)} against ${last(model.result.reference.path)} – Lockstep`;
}

function start() {
  const model = readModel(), table = new PairTable(model);
  const parts = (model.isWeights ? partsOfWeights : partsOfTraces)(model, table).filter(Boolean);
  document.title = titleOf(model);
  append(document.getElementById("bar"), [make("a", { class: "mark", href: "#main" }, "Lockstep"), navigation(parts), themeSwitch()]);
  append(document.getElementById("main"), parts);
  append(document.getElementById("foot"), [`Lockstep ${(model.result.produced || {}).version || ""}. Everything in this report is in this file.`]);
  addEventListener("hashchange", () => followHash(table));
  addEventListener("keydown", (event) => table.key(event));
  requestAnimationFrame(() => requestAnimationFrame(() => followHash(table))); /* once the chart has its size */
}

start();
