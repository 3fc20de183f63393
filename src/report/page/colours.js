"use strict";

/* Colours of values: blue for negative ones, red for positive ones, the page's background for zero. In the light theme they are those
 * of `lockstep picture`. */

const PALETTES = {
  light: { negative: [33, 102, 172], zero: [247, 247, 247], positive: [178, 24, 43] },
  dark: { negative: [90, 162, 232], zero: [30, 34, 38], positive: [240, 98, 84] },
};
const MASKED = [160, 160, 160], NOT_FINITE = [255, 0, 255];
const MASK_BELOW = -1e30;

function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function hasColour(value) {
  return Number.isFinite(value) && value > MASK_BELOW;
}

function colourOf(value, limit, palette) {
  if (!hasColour(value)) {
    return value <= MASK_BELOW ? MASKED : NOT_FINITE;
  }
  const share = limit > 0 ? Math.min(Math.abs(value) / limit, 1) : 0, end = value < 0 ? palette.negative : palette.positive;
  return palette.zero.map((zero, i) => Math.floor(zero + (end[i] - zero) * share + 0.5));
}

/* From no error to a large one, on the logarithm: for the map of weights. */
function shadeOf(error) {
  if (!(error > 0)) {
    return 0;
  }
  return Math.min(Math.max((Math.log10(error) + 9) / 9, 0.06), 1);
}
