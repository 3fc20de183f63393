/* Values and statistics as text and as JSON. */
#ifndef LS_TENSOR_VALUE_TEXT_H
#define LS_TENSOR_VALUE_TEXT_H

#include "base/text.h"
#include "tensor/stats.h"

enum { LS_VALUE_TEXT = 32 };

/* Writes the shortest decimal that reads back as the same double, or with `narrow` as the
 * same float ("0.1", "-inf", "nan"). Returns its length. */
size_t ls_value_text(double value, bool narrow, char out[LS_VALUE_TEXT]);
/* Appends a JSON number; NaN and infinities, which JSON doesn't have, are the strings
 * "nan", "inf" and "-inf". */
void ls_value_json(ls_text *text, double value);
/* {"min":…,"max":…,"mean":…,"std":…,"l2":…,"nan":N,"inf":N,"zeros":N} */
void ls_stats_json(ls_text *text, const ls_stats *stats);
/* Appends two lines of at most 80 columns, each after `indent`. */
void ls_stats_text(ls_text *text, const ls_stats *stats, const char *indent);
void ls_shape_json(ls_text *text, int rank, const uint64_t *shape);

#endif
