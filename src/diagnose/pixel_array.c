#include "diagnose/pixel_array.h"

#include <math.h>
#include <stdlib.h>

#include "match/picture_node.h"

enum { MOST_VALUES = 1 << 25 };

/* Colours come before rows and columns, or after them. */
static bool shape_of(int rank, const uint64_t *shape, ls_pixels *out) {
    if (!ls_shape_is_picture(rank, shape))
        return false;
    *out = (ls_pixels){.images = 1, .is_interleaved = shape[rank - 3] != 3};
    out->height = out->is_interleaved ? shape[rank - 3] : shape[rank - 2];
    out->width = out->is_interleaved ? shape[rank - 2] : shape[rank - 1];
    for (int i = 0; i < rank - 3; i++)
        out->images *= shape[i];
    return out->images > 0;
}

static bool are_numbers(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

bool ls_pixels_open(const ls_trace *trace, size_t node, ls_pixels *out) {
    const ls_node *n = &trace->nodes[node];
    ls_hold hold;
    if (n->elements > MOST_VALUES || ls_trace_hold(trace, node, &hold, NULL) != LOCKSTEP_OK)
        return false;
    ls_pixels p;
    const size_t count = ls_view_elements(&hold.view);
    bool ok = shape_of(hold.view.rank, hold.view.shape, &p) && (p.values = malloc(count * sizeof *p.values)) != NULL;
    if (ok) {
        ls_view_read_f32(&hold.view, 0, count, p.values);
        ok = are_numbers(p.values, count);
        *out = p;
        if (!ok)
            ls_pixels_close(out);
    }
    ls_hold_release(&hold);
    return ok;
}

void ls_pixels_close(ls_pixels *p) {
    free(p->values);
    *p = (ls_pixels){0};
}

ls_pixel_order ls_pixel_order_of(size_t index) {
    static const uint8_t channels[6][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}};
    const uint8_t *c = channels[index % 6];
    const size_t rest = index / 6;
    return (ls_pixel_order){.channels = {c[0], c[1], c[2]}, .flip_x = (rest & 1) != 0, .flip_y = (rest & 2) != 0, .is_turned = (rest & 4) != 0, .is_reread = (rest & 8) != 0};
}

ls_line ls_line_of(const ls_line_fit *f) {
    const double n = fmax(f->count, 1), xx = f->xx / n - f->x / n * (f->x / n), xy = f->xy / n - f->x / n * (f->y / n);
    const double yy = fmax(f->yy / n - f->y / n * (f->y / n), 0), slope = xx > 0 ? xy / xx : 0;
    return (ls_line){slope, (f->y - slope * f->x) / n, fmax(yy - slope * xy, 0), yy};
}
