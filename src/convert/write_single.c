/* Formats with one tensor per file: NPY, text, and raw values. */
#include <stdio.h>
#include <string.h>

#include "convert/conversion.h"
#include "format/npy.h"

/* --- NPY; types that NumPy doesn't have become float32 */

static lockstep_dtype npy_holds(lockstep_dtype dtype) { return ls_dtype(dtype)->npy != NULL ? dtype : LOCKSTEP_F32; }

static lockstep_status write_npy(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    char header[LS_NPY_HEADER_MAX];
    const ls_item *item = &c->items[0];
    size_t size = ls_npy_header(item->dtype, item->rank, item->shape, header, sizeof header);
    LS_TRY(ls_sink_write(sink, header, size, error));
    return ls_item_write(c, item, sink, error);
}

static const char *const npy_suffixes[] = {".npy", NULL};
const ls_writer ls_writer_npy = {"npy", npy_suffixes, true, npy_holds, write_npy, NULL};

/* --- raw values */

static lockstep_dtype raw_holds(lockstep_dtype dtype) { return dtype; }

static lockstep_status write_raw(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    return ls_item_write(c, &c->items[0], sink, error);
}

static const char *const raw_suffixes[] = {".bin", ".raw", NULL};
const ls_writer ls_writer_raw = {"raw", raw_suffixes, true, raw_holds, write_raw, NULL};

/* --- text: one value per line, with enough digits to restore it exactly */

static lockstep_dtype text_holds(lockstep_dtype dtype) { return dtype == LOCKSTEP_F64 ? LOCKSTEP_F64 : LOCKSTEP_F32; }

typedef struct lines {
    ls_sink *sink;
    bool wide;
} lines;

static lockstep_status put_lines(void *context, const void *bytes, size_t size, lockstep_error *error) {
    const lines *l = context;
    size_t width = l->wide ? sizeof(double) : sizeof(float);
    char text[64 * 32];
    size_t used = 0;
    for (size_t at = 0; at < size; at += width) {
        float narrow;
        double value;
        if (l->wide) {
            memcpy(&value, (const char *)bytes + at, sizeof value);
        } else {
            memcpy(&narrow, (const char *)bytes + at, sizeof narrow);
            value = (double)narrow;
        }
        used += (size_t)snprintf(text + used, sizeof text - used, l->wide ? "%.16e\n" : "%.8e\n", value);
        if (used + 64 > sizeof text || at + width >= size) {
            LS_TRY(ls_sink_write(l->sink, text, used, error));
            used = 0;
        }
    }
    return LOCKSTEP_OK;
}

static lockstep_status write_text(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    const ls_item *item = &c->items[0];
    char shape[LS_SHAPE_TEXT], head[LS_SHAPE_TEXT + 64];
    ls_shape_text(item->rank, item->shape, shape);
    LS_TRY(ls_sink_write(sink, "# Tensor: ", 10, error));
    LS_TRY(ls_sink_write(sink, item->name, strlen(item->name), error));
    int n = snprintf(head, sizeof head, "\n# Shape: %s\n# Data:\n", shape);
    LS_TRY(ls_sink_write(sink, head, (size_t)n, error));
    return ls_item_stream(c, item, put_lines, &(lines){sink, item->dtype == LOCKSTEP_F64}, error);
}

static const char *objection(const ls_conversion *c, const char *name) {
    (void)c;
    return strpbrk(name, "\r\n") != NULL ? "a text dump's name must be on one line" : NULL;
}

static const char *const text_suffixes[] = {".txt", NULL};
const ls_writer ls_writer_text = {"text", text_suffixes, true, text_holds, write_text, objection};
