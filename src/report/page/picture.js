"use strict";

/* What there is to see of one pair: heat maps, histograms, the worst positions. */

function worstTable(picture) {
  const row = (place) => [{ number: shapeText(place.at) }, { number: valueText(numberOf(place.reference)) }, { number: valueText(numberOf(place.candidate)) },
    { number: valueText(differenceOf(numberOf(place.reference), numberOf(place.candidate))) }];
  return plainTable("The worst positions", ["at", "reference", "candidate", "difference"], picture.worst.map(row));
}

function howDrawn(model, picture) {
  const parts = [`Shape ${shapeText(picture.shape)}: ${count(picture.rows, "row")}${model.isWeights ? "" : " (mostly tokens)"} downwards, ${count(picture.columns, "column")}${model.isWeights ? "" : " (mostly channels)"} to the right`];
  if (picture.row_step * picture.column_step > 1) {
    parts.push(`each cell is the element with the largest difference among ${picture.row_step} × ${picture.column_step}`);
  }
  if (picture.left_out > 0) {
    parts.push(`${count(picture.left_out, "element")} masked or not finite`);
  }
  return make("p", { class: "muted" }, parts.join("; ") + ".");
}

/* Drawn when it comes into view: decoding takes a moment. */
function pictureOf(model, row) {
  const picture = model.pictures.get(row.index);
  if (!picture) {
    return noPicture(model, row);
  }
  const holder = make("div", { class: "picture" });
  const fill = () => {
    const maps = new HeatMaps(picture);
    append(holder, [maps.element, howDrawn(model, picture), make("div", { class: "numbers" }, histogramOfDifferences(picture), histogramOfValues(picture), worstTable(picture))]);
    holder.heatMaps = maps;
    new ResizeObserver(() => maps.resize()).observe(holder);
  };
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      observer.disconnect();
      fill();
    }
  }, { rootMargin: "400px" }).observe(holder);
  return holder;
}

function noPicture(model, row) {
  const without = model.pictureBlock && (model.pictureBlock.without || []).find((entry) => entry.pair === row.index);
  if (without) {
    return make("p", { class: "muted" }, `It has no picture: ${without.reason}.`);
  }
  const isThere = canBeDrawn(model);
  return make("div", { class: "muted" }, make("p", null, "Its picture is not in this file; ", make("code", null, "--picture REGEX"), " puts it there.", isThere ? " This draws it:" : ""), isThere ? commandLine(pictureCommand(model, row)) : null);
}

/* Colours depend on the theme. */
function repaintPictures() {
  for (const holder of document.querySelectorAll(".picture")) {
    if (holder.heatMaps) {
      holder.heatMaps.paint();
    }
  }
}
