/* Reads elements of a metadata array in place. Text is a u64 length and its bytes, as in
 * GGUF; bounds were checked when the file was opened. */
#include <string.h>

#include "format/archive.h"

static uint64_t read_uint(const uint8_t *p, int width, bool big_endian) {
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value |= (uint64_t)p[i] << 8 * (big_endian ? width - 1 - i : i);
    return value;
}

static void read_number(const ls_meta *array, const uint8_t *p, ls_meta *out) {
    int width = array->as.array.width;
    uint64_t bits = read_uint(p, width, array->as.array.swap);
    switch (out->kind) {
        case LS_META_INT: { /* sign-extended */
            int unused = 64 - 8 * width;
            out->as.i = (int64_t)(bits << unused) >> unused;
            break;
        }
        case LS_META_FLOAT:
            if (width == 4) {
                uint32_t narrow = (uint32_t)bits;
                float value;
                memcpy(&value, &narrow, sizeof value);
                out->as.f = (double)value;
            } else {
                memcpy(&out->as.f, &bits, sizeof out->as.f);
            }
            break;
        case LS_META_BOOL:
            out->as.b = bits != 0;
            break;
        case LS_META_UINT:
        case LS_META_TEXT:
        case LS_META_ARRAY:
            out->as.u = bits;
    }
}

void ls_meta_next(const ls_meta *array, uint64_t *position, ls_meta *out_element) {
    const uint8_t *p = array->as.array.bytes + *position;
    ls_meta element = {.kind = array->as.array.kind};
    if (element.kind != LS_META_TEXT) {
        read_number(array, p, &element);
        *position += (uint64_t)array->as.array.width;
    } else {
        element.as.text.length = read_uint(p, 8, array->as.array.swap);
        element.as.text.bytes = (const char *)p + 8;
        *position += 8 + element.as.text.length;
    }
    *out_element = element;
}

bool ls_meta_element(const ls_meta *array, uint64_t index, ls_meta *out_element) {
    if (array->kind != LS_META_ARRAY || index >= array->as.array.count)
        return false;
    uint64_t position = 0;
    if (array->as.array.kind != LS_META_TEXT) {
        position = index * (uint64_t)array->as.array.width;
        index = 0;
    }
    do
        ls_meta_next(array, &position, out_element);
    while (index-- > 0);
    return true;
}
