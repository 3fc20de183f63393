#include "tensor/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void ls_shape_text(int rank, const uint64_t *shape, char out[LS_SHAPE_TEXT]) {
    size_t used = 0;
    out[used++] = '[';
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(out + used, LS_SHAPE_TEXT - used, "%s%llu", i > 0 ? ", " : "",
                                 (unsigned long long)shape[i]);
    out[used++] = ']';
    out[used] = '\0';
}

uint64_t ls_view_elements(const ls_view *view) {
    uint64_t elements = 1;
    for (int i = 0; i < view->rank; i++)
        elements *= view->shape[i];
    return elements;
}

void ls_view_set_contiguous(ls_view *view) {
    int64_t stride = 1;
    for (int i = view->rank; i-- > 0;) {
        view->strides[i] = stride;
        stride *= (int64_t)(view->shape[i] > 0 ? view->shape[i] : 1);
    }
}

bool ls_view_is_contiguous(const ls_view *view) {
    int64_t stride = 1;
    if (view->origin != 0)
        return false;
    for (int i = view->rank; i-- > 0;) {
        if (view->shape[i] == 0)
            return true;
        if (view->shape[i] != 1 && view->strides[i] != stride)
            return false;
        stride *= (int64_t)view->shape[i];
    }
    return true;
}

/* A buffer for decoded values: floats, or doubles if `wide`. */
typedef struct sink {
    void *to;
    bool wide;
} sink;

static void *sink_at(sink out, size_t i) {
    return (char *)out.to + i * (out.wide ? sizeof(double) : sizeof(float));
}

static void decode(lockstep_dtype dtype, const void *blocks, size_t n, sink out) {
    if (out.wide)
        ls_decode_to_f64(dtype, blocks, n, out.to);
    else
        ls_decode_to_f32(dtype, blocks, n, out.to);
}

enum { TILE_BYTES = 4096 }; /* gathered or swapped at once; holds several blocks of any type */
_Static_assert(TILE_BYTES >= 4 * LS_MAX_BLOCK_BYTES, "a tile holds several blocks");

/* Decodes whole blocks from p on, which are in their file's byte order. */
static void decode_blocks(const ls_view *view, const uint8_t *p, size_t n, sink out) {
    const ls_dtype_row *row = ls_dtype(view->dtype);
    if (!view->swap || row->swap == NULL) {
        decode(view->dtype, p, n, out);
        return;
    }
    uint8_t tile[TILE_BYTES];
    size_t blocks_at_once = TILE_BYTES / row->block_bytes;
    size_t at_once = blocks_at_once * row->block_elements;
    for (size_t i = 0; i < n; i += at_once, p += blocks_at_once * row->block_bytes) {
        size_t count = n - i < at_once ? n - i : at_once;
        size_t blocks = (count + row->block_elements - 1) / row->block_elements;
        memcpy(tile, p, blocks * row->block_bytes);
        row->swap(tile, blocks);
        decode(view->dtype, tile, count, (sink){sink_at(out, i), out.wide});
    }
}

/* Decodes codes, which give floats. */
static void decode_codes(const ls_codes *codes, uint64_t first, size_t n, sink out) {
    enum { TILE = 1024 };
    float tile[TILE];
    if (!out.wide)
        codes->read(codes, first, n, out.to);
    for (size_t i = 0; out.wide && i < n; i += TILE) {
        size_t count = n - i < TILE ? n - i : TILE;
        codes->read(codes, first + i, count, tile);
        ls_decode_to_f64(LOCKSTEP_F32, tile, count, sink_at(out, i));
    }
}

/* Decodes elements [first, first + n) of the row of blocks at view->data. */
static void decode_range(const ls_view *view, uint64_t first, size_t n, sink out) {
    if (view->codes != NULL) {
        decode_codes(view->codes, first, n, out);
        return;
    }
    const ls_dtype_row *row = ls_dtype(view->dtype);
    size_t lead = (size_t)(first % row->block_elements);
    const uint8_t *p = view->data + first / row->block_elements * row->block_bytes;
    if (lead > 0 && n > 0) { /* begins inside a block */
        double values[LS_MAX_BLOCK_ELEMENTS]; /* large enough for floats, too */
        size_t here = row->block_elements - lead < n ? row->block_elements - lead : n;
        sink block = {values, out.wide};
        decode_blocks(view, p, lead + here, block);
        memcpy(out.to, sink_at(block, lead), here * (out.wide ? sizeof(double) : sizeof(float)));
        out.to = sink_at(out, here);
        p += row->block_bytes;
        n -= here;
    }
    decode_blocks(view, p, n, out);
}

/* Copies n elements of `size` bytes that are `stride` elements apart. */
static void gather(const uint8_t *from, int64_t stride, size_t size, size_t n, uint8_t *to) {
#define GATHER(width)                                      \
    for (size_t i = 0; i < n; i++)                         \
        memcpy(to + i * (width), from + (int64_t)i * stride * (width), width)
    if (stride == 1)
        memcpy(to, from, n * size);
    else if (size == 1)
        GATHER(1);
    else if (size == 2)
        GATHER(2);
    else if (size == 4)
        GATHER(4);
    else
        GATHER(8);
#undef GATHER
}

/* A position in a view, for a walk over its innermost rows. */
typedef struct walk {
    uint64_t index[LOCKSTEP_MAX_RANK];
    int64_t offset; /* of the element at `index`, in elements from data */
} walk;

static walk walk_to(const ls_view *view, uint64_t first) {
    walk w = {.offset = (int64_t)view->origin};
    for (int i = view->rank; i-- > 0;) {
        w.index[i] = first % view->shape[i];
        first /= view->shape[i];
        w.offset += (int64_t)w.index[i] * view->strides[i];
    }
    return w;
}

/* Advances by n elements, at most to the end of the innermost row. */
static void walk_on(const ls_view *view, walk *w, size_t n) {
    int axis = view->rank - 1;
    w->index[axis] += n;
    w->offset += (int64_t)n * view->strides[axis];
    for (; axis > 0 && w->index[axis] == view->shape[axis]; axis--) {
        w->offset -= (int64_t)view->shape[axis] * view->strides[axis];
        w->index[axis] = 0;
        w->index[axis - 1]++;
        w->offset += view->strides[axis - 1];
    }
}

/* Copies the next n elements in row-major order, without gaps. */
static void gather_tile(const ls_view *view, walk *w, size_t n, uint8_t *to) {
    const size_t size = ls_dtype(view->dtype)->block_bytes;
    const int inner = view->rank - 1;
    assert(size == 1 || size == 2 || size == 4 || size == 8);
    while (n > 0) {
        uint64_t left = view->shape[inner] - w->index[inner];
        size_t here = left < n ? (size_t)left : n;
        gather(view->data + w->offset * (int64_t)size, view->strides[inner], size, here, to);
        walk_on(view, w, here);
        to += here * size;
        n -= here;
    }
}

static void read_strided(const ls_view *view, uint64_t first, size_t count, sink out) {
    uint8_t tile[TILE_BYTES];
    const size_t at_once = TILE_BYTES / ls_dtype(view->dtype)->block_bytes;
    walk w = walk_to(view, first);
    for (size_t done = 0; done < count; done += at_once) {
        size_t n = count - done < at_once ? count - done : at_once;
        gather_tile(view, &w, n, tile);
        decode_blocks(view, tile, n, (sink){sink_at(out, done), out.wide});
    }
}

/* Decodes only the elements that are wanted: a row at once if they are adjacent, otherwise
 * one by one. */
static void read_strided_blocks(const ls_view *view, uint64_t first, size_t count, sink out) {
    const int inner = view->rank - 1;
    walk w = walk_to(view, first);
    for (size_t done = 0; done < count;) {
        uint64_t left = view->shape[inner] - w.index[inner];
        size_t n = left < count - done ? (size_t)left : count - done;
        if (view->strides[inner] == 1)
            decode_range(view, (uint64_t)w.offset, n, (sink){sink_at(out, done), out.wide});
        else
            for (size_t i = 0; i < n; i++)
                decode_range(view, (uint64_t)(w.offset + (int64_t)i * view->strides[inner]), 1,
                             (sink){sink_at(out, done + i), out.wide});
        walk_on(view, &w, n);
        done += n;
    }
}

static void read_values(const ls_view *view, uint64_t first, size_t count, sink out) {
    if (ls_view_is_contiguous(view))
        decode_range(view, first, count, out);
    else if (view->rank == 0) /* one element of a block type */
        decode_range(view, view->origin, count, out);
    else if (ls_dtype(view->dtype)->block_elements > 1)
        read_strided_blocks(view, first, count, out);
    else
        read_strided(view, first, count, out);
}

static void read_view(const ls_view *view, uint64_t first, size_t count, sink out) {
    assert(first + count <= ls_view_elements(view));
    if (count == 0)
        return;
    read_values(view, first, count, out);
    for (size_t i = 0; view->factor != 0 && i < count; i++)
        if (out.wide)
            ((double *)out.to)[i] *= (double)view->factor;
        else
            ((float *)out.to)[i] *= view->factor;
}

bool ls_view_is_f32(const ls_view *view) { return view->codes != NULL || ls_dtype(view->dtype)->to_f32 != NULL; }

void ls_view_read_f32(const ls_view *view, uint64_t first, size_t count, float *out) {
    read_view(view, first, count, (sink){out, false});
}

void ls_view_read_f64(const ls_view *view, uint64_t first, size_t count, double *out) {
    read_view(view, first, count, (sink){out, true});
}

void ls_view_read_raw(const ls_view *view, uint64_t first, size_t count, void *out) {
    const ls_dtype_row *row = ls_dtype(view->dtype);
    assert(row->block_elements == 1 && view->factor == 0 && first + count <= ls_view_elements(view));
    if (count == 0)
        return;
    if (ls_view_is_contiguous(view)) {
        memcpy(out, view->data + first * row->block_bytes, count * row->block_bytes);
    } else {
        walk w = walk_to(view, first);
        gather_tile(view, &w, count, out);
    }
    if (view->swap && row->swap != NULL)
        row->swap(out, count);
}

void ls_view_read_cells(const ls_view *view, uint64_t first, size_t count, float *low, float *high) {
    const int inner = view->rank - 1;
    assert(view->codes != NULL && first + count <= ls_view_elements(view));
    if (count == 0)
        return;
    walk w = walk_to(view, first);
    for (size_t done = 0; done < count;) {
        uint64_t left = inner >= 0 ? view->shape[inner] - w.index[inner] : 1;
        size_t n = left < count - done ? (size_t)left : count - done;
        if (inner < 0 || view->strides[inner] != 1)
            n = 1;
        view->codes->read_cells(view->codes, (uint64_t)w.offset, n, low + done, high + done);
        if (inner >= 0)
            walk_on(view, &w, n);
        done += n;
    }
    for (size_t i = 0; view->factor != 0 && i < count; i++) {
        const float a = low[i] * view->factor, b = high[i] * view->factor;
        low[i] = a < b ? a : b;
        high[i] = a < b ? b : a;
    }
}
