#include "base/columns.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "base/width_ranges.h"

static bool is_among(const ls_code_range *ranges, size_t count, uint32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= code;
}

static int columns_of_code(uint32_t code) {
    if (code < 0x300) /* no marks and nothing wide */
        return code >= 0x20 && (code < 0x7f || code >= 0xa0);
    if (is_among(no_columns, sizeof no_columns / sizeof *no_columns, code))
        return 0;
    return is_among(two_columns, sizeof two_columns / sizeof *two_columns, code) ? 2 : 1;
}

enum { EMOJI_STYLE = 0xfe0f, FIRST_SKIN = 0x1f3fb, LAST_SKIN = 0x1f3ff };

size_t ls_character(const char *text, size_t left, int *out_columns) {
    uint32_t code;
    size_t length = left > 0 ? ls_utf8_decode(text, left, &code) : 0;
    *out_columns = length > 0 ? columns_of_code(code) : left > 0;
    if (length == 0)
        return left > 0;
    for (size_t more; *out_columns > 0 && length < left && (more = ls_utf8_decode(text + length, left - length, &code)) > 0; length += more) {
        const bool is_skin = code >= FIRST_SKIN && code <= LAST_SKIN && *out_columns == 2;
        if (code < 0x300 || (columns_of_code(code) > 0 && !is_skin))
            break;
        if (code == EMOJI_STYLE) /* drawn as a picture, which is wide */
            *out_columns = 2;
    }
    return length;
}

int ls_columns_of_bytes(const char *text, size_t length) {
    int all = 0, columns;
    for (size_t at = 0; at < length; all += columns)
        at += ls_character(text + at, length - at, &columns);
    return all;
}

int ls_columns_of(const char *text) { return ls_columns_of_bytes(text, strlen(text)); }

size_t ls_beginning(const char *text, size_t length, int columns) {
    size_t end = 0;
    for (int own; end < length; columns -= own) {
        const size_t size = ls_character(text + end, length - end, &own);
        if (own > columns)
            break;
        end += size;
    }
    return end;
}
