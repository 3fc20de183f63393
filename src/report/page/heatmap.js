"use strict";

/* Heat maps of a picture: reference, candidate and difference, one canvas each, with a pixel a cell. */

const PANELS = ["reference", "candidate", "difference"];

/* 32-bit little-endian numbers in base64. */
function decode(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const read = Kind === Float32Array ? (i) => view.getFloat32(i * 4, true) : (i) => view.getUint32(i * 4, true);
  return Kind.from({ length: bytes.length / 4 }, (_, i) => read(i));
}

function differenceOf(reference, candidate) {
  if (reference <= MASK_BELOW && candidate <= MASK_BELOW) {
    return reference;
  }
  return hasColour(reference) && hasColour(candidate) ? candidate - reference : NaN;
}

/* A picture's cells, as numbers. */
function cellsOf(picture) {
  const reference = decode(picture.reference, Float32Array), candidate = decode(picture.candidate, Float32Array);
  const difference = Float64Array.from(reference, (value, i) => differenceOf(value, candidate[i]));
  return { reference, candidate, difference, at: picture.at ? decode(picture.at, Uint32Array) : null };
}

/* The size below which this share of the values lies: a few huge channels would leave everything else without colour. */
function sizeOfMost(arrays, share) {
  const sizes = arrays.flatMap((values) => Array.from(values)).filter(hasColour).map(Math.abs).sort((a, b) => a - b);
  return sizes.length > 0 ? sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * share))] || sizes[sizes.length - 1] : 0;
}

function paint(canvas, values, first, limit) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const palette = PALETTES[isDark() ? "dark" : "light"];
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const [red, green, blue] = colourOf(values[first + i], limit, palette);
    image.data.set([red, green, blue, 255], i * 4);
  }
  context.putImageData(image, 0, 0);
}

/* Which element of the tensor a cell shows: [slice, row, column]. */
function elementOf(picture, cells, slice, row, column) {
  const at = cells.at ? cells.at[(slice * picture.height + row) * picture.width + column] : 0;
  return [picture.drawn[slice], row * picture.row_step + Math.floor(at / picture.column_step), column * picture.column_step + at % picture.column_step];
}

/* The index in the tensor's shape, without axes of size 1. */
function indexOf(picture, [slice, row, column]) {
  const rank = picture.shape.length, index = [];
  for (let axis = rank - 3, rest = slice; axis >= 0; axis--) {
    index.unshift(rest % picture.shape[axis]);
    rest = Math.floor(rest / picture.shape[axis]);
  }
  return rank === 0 ? [] : rank === 1 ? [column] : [...index, row, column];
}

/* The state of one picture's heat maps, and how they change. */
class HeatMaps {
  constructor(picture) {
    this.picture = picture;
    this.cells = cellsOf(picture);
    this.slice = picture.errors.reduce((best, error, i) => numberOf(error) > numberOf(picture.errors[best]) ? i : best, 0);
    this.zoom = 1;
    this.place = [0, 0];
    this.most = sizeOfMost([this.cells.reference, this.cells.candidate], 0.995);
    this.contrast = 1;
    const worst = sizeOfMost([this.cells.difference], 1);
    this.isOwn = worst < this.most / 20;
    this.ownMost = sizeOfMost([this.cells.difference], 0.995) || worst;
    this.canvases = PANELS.map(() => make("canvas", { width: picture.width, height: picture.height, tabindex: "0", role: "img" }));
    this.legends = PANELS.map(() => make("span", { class: "limits" }));
    this.output = make("output", { class: "hover" });
    this.element = this.build();
    this.canvases.forEach((canvas) => this.listen(canvas));
    this.paint();
    this.say();
  }

  limitOf(panel) {
    return (panel === 2 && this.isOwn ? this.ownMost : this.most) / this.contrast;
  }

  paint() {
    const { height, width } = this.picture, first = this.slice * height * width;
    PANELS.forEach((name, panel) => {
      paint(this.canvases[panel], this.cells[name], first, this.limitOf(panel));
      this.legends[panel].textContent = `−${digits(this.limitOf(panel))} to ${digits(this.limitOf(panel))}`;
      this.canvases[panel].setAttribute("aria-label", `Heat map of the ${name}, ${height} by ${width} cells. Arrow keys read single cells.`);
    });
    this.resize();
  }

  /* As large as a third of the page, at least a pixel a cell. */
  resize() {
    const { height, width } = this.picture, room = Math.max(160, (this.canvases[0].parentElement.clientWidth || 320) - 2);
    const side = Math.min(room / width, 28) * this.zoom;
    const least = (height > 1 ? 96 : 28) / height; /* wide pictures would be a thread */
    const tall = Math.max(Math.min(side, 420 * this.zoom / height), least * this.zoom);
    for (const canvas of this.canvases) {
      canvas.style.width = `${Math.round(side * width)}px`;
      canvas.style.height = `${Math.round(tall * height)}px`;
    }
  }

  say() {
    const [row, column] = this.place, { picture, cells } = this;
    const i = (this.slice * picture.height + row) * picture.width + column;
    const index = indexOf(picture, elementOf(picture, cells, this.slice, row, column));
    this.output.textContent = `at [${index.join(", ")}]: reference ${valueText(cells.reference[i])}, candidate ${valueText(cells.candidate[i])}, difference ${valueText(cells.difference[i])}`;
  }

  point(row, column) {
    this.place = [Math.min(Math.max(row, 0), this.picture.height - 1), Math.min(Math.max(column, 0), this.picture.width - 1)];
    this.say();
  }

  listen(canvas) {
    const under = (event) => {
      const box = canvas.getBoundingClientRect();
      this.point(Math.floor((event.clientY - box.top) / box.height * this.picture.height), Math.floor((event.clientX - box.left) / box.width * this.picture.width));
    };
    canvas.addEventListener("pointermove", under);
    canvas.addEventListener("click", under);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (step) {
        event.preventDefault();
        this.point(this.place[0] + step[0], this.place[1] + step[1]);
      }
    });
    canvas.parentElement.addEventListener("scroll", (event) => this.scrollAll(event.target));
  }

  /* The three show the same part. */
  scrollAll(from) {
    for (const canvas of this.canvases) {
      canvas.parentElement.scrollLeft = from.scrollLeft;
      canvas.parentElement.scrollTop = from.scrollTop;
    }
  }

  setZoom(zoom) {
    this.zoom = Math.min(Math.max(zoom, 1), 16);
    this.resize();
  }

  sliceChoice() {
    const { drawn, errors, slices } = this.picture;
    if (drawn.length < 2) {
      return null;
    }
    const select = make("select", { change: () => { this.slice = Number(select.value); this.paint(); this.say(); } },
      drawn.map((slice, i) => make("option", { value: i }, `${slice} (rel. L2 ${errorText(numberOf(errors[i]))})`)));
    select.value = String(this.slice);
    return make("label", null, drawn.length < slices ? `Slice (the ${drawn.length} of ${slices} that differ most) ` : "Slice (head, tile or channel) ", select);
  }

  controls() {
    const contrast = make("input", { type: "range", min: "0", max: "40", value: "0", input: () => { this.contrast = 10 ** (contrast.value / 10); this.paint(); } });
    const own = make("input", { type: "checkbox", change: () => { this.isOwn = own.checked; this.paint(); } });
    own.checked = this.isOwn;
    return make("div", { class: "controls" }, this.sliceChoice(), make("label", null, "Contrast ", contrast), make("label", null, own, "the difference on a scale of its own"),
      make("span", { class: "buttons" }, make("button", { type: "button", "aria-label": "Zoom out", click: () => this.setZoom(this.zoom / 2) }, "−"),
        make("button", { type: "button", "aria-label": "Zoom in", click: () => this.setZoom(this.zoom * 2) }, "+")));
  }

  build() {
    const panel = (name, i) => make("figure", null,
      make("figcaption", null, make("strong", null, name), " ", make("span", { class: "gradient", "aria-hidden": "true" }), this.legends[i]),
      make("div", { class: "pane" }, this.canvases[i]));
    return make("div", { class: "heat" }, this.controls(), make("div", { class: "panels" }, PANELS.map(panel)), this.output);
  }
}
