#include "report/cells.h"

#include <string.h>

#include "base/columns.h"

/* Where the end of a text begins that takes at most so many columns. */
static size_t ending(const char *text, size_t length, int columns) {
    size_t at = 0;
    for (int left = ls_columns_of_bytes(text, length), own; left > columns; left -= own)
        at += ls_character(text + at, length - at, &own);
    return at;
}

static const char *gap_of(const ls_screen *screen) { return screen->is_utf8 ? "…" : ".."; }

void ls_put_beginning(const ls_screen *screen, const char *text, int width, ls_text *out) {
    const bool fits = ls_columns_of(text) <= width;
    const size_t length = strlen(text), end = fits ? length : ls_beginning(text, length, width - ls_columns_of(gap_of(screen)));
    ls_text_printf(out, "%.*s%s", (int)end, text, fits ? "" : gap_of(screen));
}

int ls_put_cut(const ls_screen *screen, const char *text, int width, ls_text *out) {
    const char *const gap = gap_of(screen);
    const size_t length = strlen(text);
    const int have = ls_columns_of(text), room = width - ls_columns_of(gap);
    if (have <= width) {
        ls_text_append(out, text, length);
        return have;
    }
    if (room < 1)
        return 0;
    const size_t first = ls_beginning(text, length, room / 3); /* neighbors have more in common at the beginning */
    const int taken = ls_columns_of_bytes(text, first);
    const size_t last = ending(text, length, room - taken);
    ls_text_printf(out, "%.*s%s%s", (int)first, text, gap, text + last);
    return taken + ls_columns_of(gap) + ls_columns_of(text + last);
}

void ls_put_cell(const ls_screen *screen, const char *text, int width, bool to_the_right, ls_text *out) {
    ls_text cut = {0};
    const int taken = ls_put_cut(screen, text, width, &cut), fill = width - taken;
    ls_text_printf(out, "%*s%s%*s", to_the_right ? fill : 0, "", cut.data != NULL ? cut.data : "", to_the_right ? 0 : fill, "");
    ls_text_done(&cut);
}
