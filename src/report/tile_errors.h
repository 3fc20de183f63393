/* Of a picture in tiles: which of them differ, and by how much. */
#ifndef LS_REPORT_TILE_ERRORS_H
#define LS_REPORT_TILE_ERRORS_H

#include "base/text.h"
#include "diff/model.h"

/* What an axis of a picture is called, or NULL for what is no picture. */
const char *ls_picture_axis_name(const ls_diff *diff, const ls_pair *pair, int axis);
/* One line; nothing for what has no tiles. */
void ls_put_tile_errors(const ls_diff *diff, const ls_pair *pair, ls_text *out);

#endif
