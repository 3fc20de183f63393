/* What a plan does, in words. */
#include <math.h>

#include "diagnose/pixel_plan.h"

static void put_size(uint32_t width, uint32_t height, ls_text *out) { ls_text_printf(out, "%ux%u", width, height); }

static void put_border(const ls_pixel_plan *p, ls_text *out) {
    const int red = (int)lrint(p->border[0]), green = (int)lrint(p->border[1]), blue = (int)lrint(p->border[2]);
    if (red == 0 && green == 0 && blue == 0)
        ls_text_printf(out, "black");
    else if (red == 255 && green == 255 && blue == 255)
        ls_text_printf(out, "white");
    else
        ls_text_printf(out, "of colour (%d, %d, %d)", red, green, blue);
}

void ls_pixel_geometry_text(const ls_pixel_plan *p, const ls_pixels *of, ls_text *out) {
    static const char *const verbs[LS_PLACING_COUNT] = {"stretched to ", "letterboxed, ", "center-cropped, ", "not resized, "};
    const ls_geometry *g = &p->geometry;
    const uint32_t width = (uint32_t)(g->columns * of->width), height = (uint32_t)(g->rows * of->height);
    ls_text_printf(out, "%s", verbs[g->placing]);
    put_size(g->width, g->height, out);
    if (g->width != width || g->height != height) {
        ls_text_printf(out, g->placing == LS_PLACING_LETTERBOX ? " in " : ", the middle ");
        put_size(width, height, out);
    }
    if (g->placing == LS_PLACING_LETTERBOX && (g->width < width || g->height < height)) {
        ls_text_printf(out, g->is_centered ? ", centered, the rest " : ", in the top left corner, the rest ");
        put_border(p, out);
    }
    if (g->rows * g->columns > 1)
        ls_text_printf(out, ", in %zux%zu tiles", g->columns, g->rows);
}
