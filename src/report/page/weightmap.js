"use strict";

/* Checkpoints: a map of layer × kind of weight, coloured by error; configuration and vocabulary. */

function kindsOf(rows) {
  return [...new Set(rows.map((row) => row.sort))];
}

function mapCell(rows) {
  if (!rows) {
    return make("td", null);
  }
  const row = rows.reduce((worst, each) => (kindOf(each.verdict) === "bad") > (kindOf(worst.verdict) === "bad") || each.error > worst.error ? each : worst);
  const title = `${rows.length > 1 ? `the worst of ${rows.length}: ` : ""}${row.name}: ${row.verdict}, NMSE ${errorText(row.error)}`;
  const link = make("a", { href: "#p" + row.index, title, "aria-label": title }, signOf(row.verdict));
  link.style.setProperty("--shade", String(shadeOf(row.error)));
  return make("td", { class: kindOf(row.verdict) }, link);
}

function mapTable(caption, rows, lines) {
  const kinds = kindsOf(rows), at = new Map();
  for (const row of rows) {
    const key = row.layer + "\n" + row.sort;
    at.set(key, [...(at.get(key) || []), row]);
  }
  return make("div", { class: "scroll" }, make("table", { class: "map" }, make("caption", null, caption),
    make("thead", null, make("tr", null, make("th", { scope: "col" }, "layer"), kinds.map((kind) => make("th", { scope: "col", class: "tall" }, make("span", null, nameOf(kind)))))),
    make("tbody", null, lines.map((layer) => make("tr", null, make("th", { scope: "row" }, layer >= 0 ? String(layer) : "–"), kinds.map((kind) => mapCell(at.get(layer + "\n" + kind))))))));
}

function weightMap(model) {
  const inside = model.rows.filter((row) => row.layer >= 0), outside = model.rows.filter((row) => row.layer < 0);
  const layers = [...new Set(inside.map((row) => row.layer))].sort((a, b) => a - b);
  const caption = "NMSE of each weight, darker where it is larger; ";
  const signs = [...new Set(model.rows.map((row) => row.verdict))].map((verdict) => `${signOf(verdict)} ${verdict}`).join(", ");
  return section("map", "Layer × kind of weight", make("div", { class: "maps" }, inside.length > 0 ? mapTable(caption + signs, inside, layers) : null, outside.length > 0 ? mapTable("Outside the layers", outside, [-1]) : null));
}

function settingText(side) {
  return side ? [String(side.value), side.key ? make("span", { class: "muted" }, " ", side.key) : null] : "–";
}

function configuration(model) {
  const config = model.result.config || [];
  const differ = config.filter((entry) => entry.verdict !== "equal"), equal = config.filter((entry) => entry.verdict === "equal");
  const line = (entry) => [entry.meaning, settingText(entry.reference), settingText(entry.candidate), entry.verdict];
  if (config.length === 0) {
    return null;
  }
  return section("config", "Configuration", differ.length > 0 ? plainTable(`${count(differ.length, "setting")} not equal`, ["setting", "reference", "candidate", ""], differ.map(line)) : make("p", null, "Every setting that both sides have is equal."),
    equal.length > 0 ? make("details", null, make("summary", null, `${count(equal.length, "equal setting")}`), plainTable("Equal settings", ["setting", "reference", "candidate", ""], equal.map(line))) : null);
}

function tokenText(token) {
  return token && token.id !== null ? [String(token.id), " ", token.token !== null ? nameOf(token.token) : ""] : "–";
}

function vocabulary(model) {
  const vocab = model.result.vocab;
  if (!vocab) {
    return null;
  }
  const differences = (title, entry) => entry && entry.compared > 0 ? [title, `${entry.compared.toLocaleString("en")} compared, ${entry.differ} differ`] : [title, null];
  return section("vocab", "Vocabulary",
    facts([["compared", vocab.compared ? "yes" : "no"], differences("tokens", vocab.tokens), differences("types", vocab.types), differences("merges", vocab.merges), differences("scores", vocab.scores), ["not compared", vocab.not_compared]]),
    vocab.special.length > 0 ? plainTable("Special tokens", ["name", "reference", "candidate", ""], vocab.special.map((special) => [special.name, tokenText(special.reference), tokenText(special.candidate), special.differs ? badge("differs") : ""])) : null);
}
