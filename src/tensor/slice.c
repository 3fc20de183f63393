#include "tensor/slice.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct term {
    enum { INTEGER, RANGE, ELLIPSIS } kind;
    int64_t start, stop, step;
    bool has_start, has_stop;
} term;

static const char *skip_spaces(const char *p) {
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

/* Reads an optional integer; false if it doesn't fit 64 bits. */
static bool parse_integer(const char **at, bool *out_found, int64_t *out) {
    const char *p = skip_spaces(*at);
    const char *digits = *p == '-' || *p == '+' ? p + 1 : p;
    *out_found = isdigit((unsigned char)*digits);
    if (*out_found) {
        char *end;
        errno = 0;
        *out = strtoll(p, &end, 10);
        if (errno != 0)
            return false;
        p = end;
    }
    *at = skip_spaces(p);
    return true;
}

/* Reads one term up to a comma or the end; false if it is malformed. */
static bool parse_term(const char **at, term *out) {
    const char *p = skip_spaces(*at);
    *out = (term){.kind = INTEGER, .step = 1};
    if (strncmp(p, "...", 3) == 0) {
        out->kind = ELLIPSIS;
        p = skip_spaces(p + 3);
    } else {
        bool has_step = false;
        if (!parse_integer(&p, &out->has_start, &out->start))
            return false;
        if (*p == ':') {
            out->kind = RANGE;
            p++;
            if (!parse_integer(&p, &out->has_stop, &out->stop))
                return false;
            if (*p == ':') {
                p++;
                if (!parse_integer(&p, &has_step, &out->step))
                    return false;
            }
        } else if (!out->has_start) {
            return false;
        }
    }
    if (*p != ',' && *p != '\0')
        return false;
    *at = p;
    return true;
}

/* Clamps a range's bound to an axis, like Python's slice.indices(). */
static int64_t clamp(int64_t bound, int64_t size, int64_t least, int64_t most) {
    if (bound < 0)
        bound = bound < -size ? least : bound + size;
    return bound < least ? least : bound > most ? most : bound;
}

/* Returns how many elements a range selects, and sets its start. */
static uint64_t resolve_range(const term *t, int64_t size, int64_t *out_start) {
    bool down = t->step < 0;
    int64_t least = down ? -1 : 0, most = down ? size - 1 : size;
    int64_t start = t->has_start ? clamp(t->start, size, least, most) : down ? most : least;
    int64_t stop = t->has_stop ? clamp(t->stop, size, least, most) : down ? least : most;
    *out_start = start;
    int64_t span = down ? start - stop : stop - start;
    uint64_t step = down ? 0 - (uint64_t)t->step : (uint64_t)t->step;
    return span <= 0 ? 0 : ((uint64_t)span - 1) / step + 1;
}

static lockstep_status fail(lockstep_error *error, const char *text, const char *why) {
    return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "slice [%s]: %s", text, why);
}

static lockstep_status parse_terms(const char *text, term *terms, int *out_count, int *out_axes,
                                   lockstep_error *error) {
    int count = 0, axes = 0, ellipses = 0;
    const char *p = skip_spaces(text);
    while (*p != '\0') {
        term t;
        if (!parse_term(&p, &t))
            return fail(error, text, "expected integers, start:stop:step or ... between commas");
        if (t.kind == RANGE && t.step == 0)
            return fail(error, text, "a step can't be 0");
        if (t.kind == ELLIPSIS && ++ellipses > 1)
            return fail(error, text, "only one ... is allowed");
        axes += t.kind != ELLIPSIS;
        if (axes > LOCKSTEP_MAX_RANK)
            return fail(error, text, "more indices than the tensor has axes");
        terms[count++] = t;
        if (*p == ',')
            p = skip_spaces(p + 1);
    }
    *out_count = count;
    *out_axes = axes;
    return LOCKSTEP_OK;
}

/* Appends one of view's axes, narrowed by a term, to *cut, and adds the start of the
 * selection to *offset. */
static lockstep_status apply(const term *t, const ls_view *view, int axis, const char *text,
                             ls_view *cut, int64_t *offset, lockstep_error *error) {
    int64_t size = (int64_t)view->shape[axis], start = t->start;
    if (t->kind == INTEGER) {
        if (start >= size || start < -size)
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT,
                           "slice [%s]: index %lld is out of bounds for axis %d with size %lld",
                           text, (long long)start, axis, (long long)size);
        start += start < 0 ? size : 0;
    } else {
        uint64_t count = resolve_range(t, size, &start);
        /* with at most one element the step is never taken, and may be larger than any axis */
        int64_t step = count <= 1 ? 0 : t->step;
        cut->shape[cut->rank] = count;
        cut->strides[cut->rank++] = step * view->strides[axis];
    }
    *offset += start * view->strides[axis];
    return LOCKSTEP_OK;
}

lockstep_status ls_view_slice(ls_view *view, const char *text, lockstep_error *error) {
    term terms[LOCKSTEP_MAX_RANK + 1];
    int count = 0, axes = 0, axis = 0;
    LS_TRY(parse_terms(text, terms, &count, &axes, error));
    if (axes > view->rank)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT,
                       "slice [%s]: found %d indices, the tensor has %d axes", text, axes, view->rank);
    ls_view cut = *view;
    int64_t offset = 0;
    cut.rank = 0;
    for (int i = 0; i <= count; i++) {
        bool at_end = i == count;
        if (!at_end && terms[i].kind != ELLIPSIS) {
            LS_TRY(apply(&terms[i], view, axis++, text, &cut, &offset, error));
            continue;
        }
        /* axes without a term are selected as a whole */
        for (int whole = view->rank - (at_end ? axis : axes); whole > 0; whole--, axis++) {
            cut.shape[cut.rank] = view->shape[axis];
            cut.strides[cut.rank++] = view->strides[axis];
        }
    }
    if (ls_view_elements(&cut) == 0)
        offset = 0; /* nothing is read: stay within the data */
    const ls_dtype_row *row = ls_dtype(view->dtype);
    bool forwards = true;
    for (int i = 0; i < cut.rank; i++)
        forwards = forwards && cut.strides[i] >= 0;
    if (row->block_elements == 1) {
        cut.data += offset * (int64_t)row->block_bytes;
    } else {
        cut.origin += (uint64_t)offset;
        if (forwards && view->codes == NULL) { /* the blocks before it are never read */
            cut.data += cut.origin / row->block_elements * row->block_bytes;
            cut.origin %= row->block_elements;
        }
    }
    *view = cut;
    return LOCKSTEP_OK;
}
