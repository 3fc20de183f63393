#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static bool reserve(ls_text *text, size_t more) {
    if (text->failed)
        return false;
    if (more < text->capacity - text->length)
        return true;
    size_t need = text->length + more + 1;
    size_t capacity = text->capacity < 128 ? 128 : text->capacity;
    while (capacity < need && capacity <= SIZE_MAX / 2)
        capacity *= 2;
    char *data = need <= more || capacity < need ? NULL : realloc(text->data, capacity);
    if (data == NULL) {
        ls_text_done(text);
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void ls_text_append(ls_text *text, const char *bytes, size_t length) {
    if (!reserve(text, length))
        return;
    if (length > 0)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void ls_text_printf(ls_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    /* Formats into the space that is left, and again after growing if that was too small. */
    size_t room = text->data != NULL ? text->capacity - text->length : 0;
    int length = vsnprintf(room > 0 ? text->data + text->length : NULL, room, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < room) {
        text->length += (size_t)length;
    } else if (length >= 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void ls_text_integer(ls_text *text, int64_t value) {
    char digits[24], *at = digits + sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--at = '-';
    ls_text_append(text, at, (size_t)(digits + sizeof digits - at));
}

/* How many of the next bytes need no escape in JSON. */
static size_t plain_run(const char *bytes, size_t length) {
    size_t n = 0;
    while (n < length && (unsigned char)(bytes[n] - 0x20) < 0x5f && bytes[n] != '"' && bytes[n] != '\\')
        n++;
    return n;
}

void ls_text_json(ls_text *text, const char *bytes, size_t length) {
    ls_text_append(text, "\"", 1);
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        size_t run = plain_run(bytes + i, length - i), n = run > 0 ? run : ls_utf8_decode(bytes + i, length - i, &code);
        if (run > 0) {
            ls_text_append(text, bytes + i, run);
        } else if (n == 0) {
            ls_text_append(text, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (code == '"' || code == '\\') {
            char pair[2] = {'\\', (char)code};
            ls_text_append(text, pair, 2);
        } else if (code < 0x20 || code == 0x7f) {
            ls_text_printf(text, "\\u%04x", (unsigned)code);
        } else {
            ls_text_append(text, bytes + i, n);
        }
        i += n;
    }
    ls_text_append(text, "\"", 1);
}

void ls_text_regex(ls_text *text, const char *bytes) {
    for (; *bytes != '\0'; bytes++) {
        if (strchr(".[]{}()*+?|^$\\", *bytes) != NULL)
            ls_text_append(text, "\\", 1);
        ls_text_append(text, bytes, 1);
    }
}

void ls_text_clear(ls_text *text) {
    text->length = 0;
    text->failed = false;
    if (text->data != NULL)
        text->data[0] = '\0';
}

void ls_text_done(ls_text *text) {
    free(text->data);
    *text = (ls_text){0};
}
