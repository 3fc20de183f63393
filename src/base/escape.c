#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

bool ls_is_unsafe(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) ||          /* C0, DEL, C1 */
           code == 0x061c || (code >= 0x200b && code <= 0x200f) ||  /* zero width, marks */
           (code >= 0x2028 && code <= 0x202e) ||                    /* separators, overrides */
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||  /* isolates, BOM */
           (code >= 0xe0000 && code <= 0xe0fff);                    /* tags and other invisible ones */
}

size_t ls_escape(const char *text, size_t length, char *out, size_t capacity) {
    size_t used = 0;
    if (capacity == 0)
        return 0;
    for (size_t i = 0; i < length;) {
        const unsigned char *p = (const unsigned char *)text + i;
        uint32_t code = 0;
        size_t n = ls_utf8_decode(text + i, length - i, &code);
        char piece[16];
        size_t size;
        if (n == 0) {
            n = 1;
            size = (size_t)snprintf(piece, sizeof piece, "\\x%02x", p[0]);
        } else if (code == '\\') {
            size = (size_t)snprintf(piece, sizeof piece, "\\\\");
        } else if (ls_is_unsafe(code)) {
            size = (size_t)snprintf(piece, sizeof piece, code < 0x100 ? "\\x%02x" : "\\u{%04x}",
                                    (unsigned)code);
        } else {
            memcpy(piece, p, n);
            size = n;
        }
        if (used + size >= capacity)
            break;
        memcpy(out + used, piece, size);
        used += size;
        i += n;
    }
    out[used] = '\0';
    return used;
}

void ls_text_escaped(ls_text *out, const char *text) {
    const size_t length = strlen(text), capacity = LS_LONGEST_ESCAPE * length + 1;
    char *escaped = malloc(capacity);
    if (escaped != NULL)
        ls_text_append(out, escaped, ls_escape(text, length, escaped, capacity));
    else
        out->failed = true;
    free(escaped);
}
