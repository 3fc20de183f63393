#include "base/json_reader.h"

#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"

enum { MAX_DEPTH = LS_JSON_PYTHON_DEPTH, STRICT_DEPTH = 64 };

void ls_json_open_python(ls_json *j) {
    static const char mark[] = "\xef\xbb\xbf";
    j->python = true;
    if (j->at == 0 && j->size >= 3 && memcmp(j->text, mark, 3) == 0)
        j->at = 3;
}

char ls_json_peek(ls_json *j) {
    while (j->at < j->size && (j->text[j->at] == ' ' || j->text[j->at] == '\n' ||
                               j->text[j->at] == '\t' || j->text[j->at] == '\r'))
        j->at++;
    return j->at < j->size ? j->text[j->at] : '\0';
}

lockstep_status ls_json_fail(ls_json *j, const char *expected, lockstep_error *error) {
    uint64_t left = j->size - j->at;
    if (left == 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, ls_json_offset(j),
                          "JSON: found the end of the text, expected %s", expected);
    return ls_fail_at(error, LOCKSTEP_MALFORMED, j->file, ls_json_offset(j),
                      "JSON: found '%.*s', expected %s", (int)(left < 24 ? left : 24),
                      j->text + j->at, expected);
}

lockstep_status ls_json_begin(ls_json *j, char open, const char *what, lockstep_error *error) {
    if (ls_json_peek(j) != open)
        return ls_json_fail(j, what, error);
    j->at++;
    j->first = true;
    return LOCKSTEP_OK;
}

lockstep_status ls_json_more(ls_json *j, char close, bool *out_more, lockstep_error *error) {
    char c = ls_json_peek(j);
    bool first = j->first;
    j->first = false;
    *out_more = false;
    if (c == close) {
        j->at++;
        return LOCKSTEP_OK;
    }
    if (!first && c != ',')
        return ls_json_fail(j, close == '}' ? "',' or '}'" : "',' or ']'", error);
    if (!first)
        j->at++;
    *out_more = true;
    return LOCKSTEP_OK;
}

/* Reads four hexadecimal digits. */
static bool read_hex(const char *p, uint32_t *out) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

/* Reads \uXXXX, or two of them that form a surrogate pair. Returns the bytes taken after the
 * backslash, or 0 if malformed; NUL and a lone surrogate are malformed unless `python`. */
static size_t read_unicode(const char *p, size_t left, bool python, uint32_t *out) {
    uint32_t code, low;
    if (left < 5 || !read_hex(p + 1, &code) || (code == 0 && !python))
        return 0;
    *out = code;
    if (code < 0xd800 || code > 0xdfff)
        return 5;
    if (code > 0xdbff || left < 11 || p[5] != '\\' || p[6] != 'u' || !read_hex(p + 7, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return python ? 5 : 0;
    *out = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    return 11;
}

static size_t put_utf8(uint32_t code, char *to) {
    if (code < 0x80)
        return to[0] = (char)code, 1;
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)(lead[n] | code);
    return n;
}

/* Reads the escape after a backslash; returns its length, or 0 if malformed. */
static size_t read_escape(const char *p, size_t left, bool python, char *to, size_t *made) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    *made = 1;
    if (left == 0)
        return 0;
    if (*p == 'u') {
        uint32_t code = 0;
        size_t taken = read_unicode(p, left, python, &code);
        *made = taken > 0 ? put_utf8(code, to) : 0;
        return taken;
    }
    const char *found = strchr(from, *p);
    if (found == NULL || *found == '\0')
        return 0;
    *to = into[found - from];
    return 1;
}

/* How many of the next bytes can be copied as they are: ASCII without control characters,
 * quotes and backslashes. Most names consist only of these. */
static size_t plain_run(const ls_json *j) {
    uint64_t at = j->at;
    while (at < j->size && (unsigned char)(j->text[at] - 0x20) < 0x60 && j->text[at] != '"' && j->text[at] != '\\')
        at++;
    return (size_t)(at - j->at);
}

/* Checks a string up to its closing quote, and writes it to `to` unless that is NULL.
 * An escape is never shorter than the character that it stands for. */
static lockstep_status scan_string(ls_json *j, char *to, uint64_t *out_length,
                                   lockstep_error *error) {
    uint64_t length = 0;
    while (j->at < j->size && j->text[j->at] != '"') {
        const char *p = j->text + j->at;
        size_t left = (size_t)(j->size - j->at), taken, made, run = plain_run(j);
        char piece[4];
        uint32_t code;
        if (run > 0) {
            if (to != NULL)
                memcpy(to + length, p, run);
            length += run;
            j->at += run;
            continue;
        }
        if (*p == '\\') {
            taken = read_escape(p + 1, left - 1, j->python, piece, &made);
            if (taken == 0)
                return ls_json_fail(j, "a JSON escape of a character other than NUL", error);
            taken++;
        } else {
            taken = made = (unsigned char)*p < 0x20 ? 0 : ls_utf8_decode(p, left, &code);
            if (taken == 0)
                return ls_json_fail(j, "UTF-8 without control characters", error);
            memcpy(piece, p, made);
        }
        if (to != NULL)
            memcpy(to + length, piece, made);
        length += made;
        j->at += taken;
    }
    if (j->at == j->size)
        return ls_json_fail(j, "a closing quote", error);
    *out_length = length;
    return LOCKSTEP_OK;
}

lockstep_status ls_json_string(ls_json *j, const char *what, const char **out,
                               lockstep_error *error) {
    if (ls_json_peek(j) != '"')
        return ls_json_fail(j, what, error);
    uint64_t start = ++j->at, length = 0;
    LS_TRY(scan_string(j, NULL, &length, error));
    char *copy = ls_arena_alloc(j->arena, (size_t)length + 1);
    if (copy == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", j->file);
    j->at = start;
    LS_TRY(scan_string(j, copy, &length, error));
    j->at++;
    j->length = length;
    *out = copy;
    return LOCKSTEP_OK;
}

lockstep_status ls_json_key(ls_json *j, const char **out, uint64_t *out_at, lockstep_error *error) {
    bool more;
    *out = NULL;
    LS_TRY(ls_json_more(j, '}', &more, error));
    if (!more)
        return LOCKSTEP_OK;
    ls_json_peek(j);
    if (out_at != NULL)
        *out_at = ls_json_offset(j);
    LS_TRY(ls_json_string(j, "a key in quotes", out, error));
    if (ls_json_peek(j) != ':')
        return ls_json_fail(j, "':' after a key", error);
    j->at++;
    return LOCKSTEP_OK;
}

static bool is_digit(const ls_json *j) {
    return j->at < j->size && j->text[j->at] >= '0' && j->text[j->at] <= '9';
}

lockstep_status ls_json_u64(ls_json *j, const char *what, uint64_t *out, lockstep_error *error) {
    ls_json_peek(j);
    uint64_t start = j->at, value = 0;
    bool fits = true;
    for (; is_digit(j); j->at++)
        fits = fits && ls_mul_u64(value, 10, &value) &&
               ls_add_u64(value, (uint64_t)(j->text[j->at] - '0'), &value);
    bool whole = j->at > start && (j->text[start] != '0' || j->at == start + 1);
    if (j->at < j->size && strchr(".eE", j->text[j->at]) != NULL)
        whole = false;
    if (whole && fits) {
        *out = value;
        return LOCKSTEP_OK;
    }
    j->at = start;
    return ls_json_fail(j, what, error);
}

lockstep_status ls_json_take_number(ls_json *j, const char **out_text, size_t *out_length, lockstep_error *error) {
    uint64_t start = j->at;
    bool whole = true;
    if (j->at < j->size && j->text[j->at] == '-')
        j->at++;
    uint64_t digits = j->at;
    while (is_digit(j))
        j->at++;
    whole = j->at > digits && (j->text[digits] != '0' || j->at == digits + 1);
    for (int part = 0; part < 2; part++) { /* a fraction, then an exponent */
        if (j->at == j->size || strchr(part == 0 ? "." : "eE", j->text[j->at]) == NULL)
            continue;
        j->at++;
        if (part == 1 && j->at < j->size && (j->text[j->at] == '+' || j->text[j->at] == '-'))
            j->at++;
        whole = whole && is_digit(j);
        while (is_digit(j))
            j->at++;
    }
    if (whole) {
        *out_text = j->text + start;
        *out_length = (size_t)(j->at - start);
        return LOCKSTEP_OK;
    }
    j->at = start;
    return ls_json_fail(j, "a value", error);
}

const char *ls_json_word(ls_json *j) {
    static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
    for (int i = 0; i < (j->python ? 6 : 3); i++) {
        size_t n = strlen(words[i]);
        if (j->size - j->at >= n && memcmp(j->text + j->at, words[i], n) == 0) {
            j->at += n;
            return words[i];
        }
    }
    return NULL;
}

static lockstep_status skip_scalar(ls_json *j, char c, lockstep_error *error) {
    const char *text;
    uint64_t length;
    size_t n;
    if (c == '"') {
        j->at++;
        LS_TRY(scan_string(j, NULL, &length, error));
        j->at++;
        return LOCKSTEP_OK;
    }
    if (ls_json_word(j) != NULL)
        return LOCKSTEP_OK;
    if (c == '-' || is_digit(j))
        return ls_json_take_number(j, &text, &n, error);
    return ls_json_fail(j, "a value", error);
}

lockstep_status ls_json_skip(ls_json *j, lockstep_error *error) {
    char open[MAX_DEPTH]; /* the brackets around the current position */
    int depth = 0, deepest = j->python ? MAX_DEPTH : STRICT_DEPTH;
    bool more = true;
    do {
        char c = ls_json_peek(j);
        if (c == '{' || c == '[') {
            if (depth == deepest)
                return ls_fail_at(error, LOCKSTEP_LIMIT, j->file, ls_json_offset(j),
                                  "JSON: found values nested deeper than %d", deepest);
            open[depth++] = c;
            j->at++;
            j->first = true;
        } else {
            LS_TRY(skip_scalar(j, c, error));
        }
        more = false;
        while (depth > 0 && !more) { /* closes all that ends before the next value */
            LS_TRY(ls_json_more(j, open[depth - 1] == '{' ? '}' : ']', &more, error));
            depth -= !more;
        }
        if (more && open[depth - 1] == '{') {
            uint64_t length;
            if (ls_json_peek(j) != '"')
                return ls_json_fail(j, "a key in quotes", error);
            j->at++;
            LS_TRY(scan_string(j, NULL, &length, error));
            j->at++;
            if (ls_json_peek(j) != ':')
                return ls_json_fail(j, "':' after a key", error);
            j->at++;
        }
    } while (more);
    j->first = false;
    return LOCKSTEP_OK;
}

lockstep_status ls_json_end(ls_json *j, lockstep_error *error) {
    ls_json_peek(j);
    return j->at == j->size ? LOCKSTEP_OK : ls_json_fail(j, "nothing more", error);
}
