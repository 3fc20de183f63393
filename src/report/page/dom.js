"use strict";

/* Elements are only made here, and everything that comes from a file becomes text: there is no innerHTML in this report. */

const SVG = "http://www.w3.org/2000/svg";

/* Characters that don't show, or that change how others are shown: controls, and marks that reverse the direction of a text. */
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function visible(text) {
  return String(text).replace(INVISIBLE, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      parent.append(child instanceof Node ? child : visible(child));
    }
  }
  return parent;
}

function setAll(element, attributes) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") {
      element.addEventListener(key, value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, value === true ? "" : visible(value));
    }
  }
  return element;
}

/* make("td", {class: "number", click: go}, "text", element, null): functions become listeners, null and false nothing. */
function make(tag, attributes, ...children) {
  return append(setAll(document.createElement(tag), attributes), children);
}

function draw(tag, attributes, ...children) {
  return append(setAll(document.createElementNS(SVG, tag), attributes), children);
}

/* A name from a file: its direction does not leak into the text around it. */
function nameOf(text, attributes) {
  return make("bdi", Object.assign({ class: "name" }, attributes), text);
}

function section(id, title, ...children) {
  return make("section", { id, "aria-labelledby": id + "-title" }, make("h2", { id: id + "-title" }, title), children);
}

/* [[term, value], …]; without those whose value is null. */
function facts(entries) {
  const list = make("dl", { class: "facts" });
  for (const [term, value] of entries) {
    if (value !== null && value !== undefined) {
      list.append(make("div", null, make("dt", null, term), make("dd", null, value)));
    }
  }
  return list;
}

/* A table of plain cells. Numbers are given as {number: text}. */
function plainTable(caption, heads, rows, attributes) {
  const cell = (value) => {
    const isNumber = value !== null && typeof value === "object" && "number" in value;
    return make("td", isNumber ? { class: "number" } : null, isNumber ? value.number : value);
  };
  const body = make("tbody", null, rows.map((row) => make("tr", null, row.map(cell))));
  return make("div", { class: "scroll" },
    make("table", attributes, make("caption", null, caption), make("thead", null, make("tr", null, heads.map((head) => make("th", { scope: "col" }, head)))), body));
}

async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    button.textContent = "select and copy";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

/* A command for a shell, with a button that copies it. */
function commandLine(text) {
  const button = make("button", { type: "button", class: "copy", click: () => copyText(text, button) }, "copy");
  return make("div", { class: "command" }, make("code", null, text), button);
}
