#include "report/screen.h"

#include <string.h>

#include "base/columns.h"
#include "base/escape.h"
#include "base/utf8.h"
#include "report/styles.h"

enum { USUAL_WIDTH = 100, LABEL = 11, MORE = 2, LEAST = 20 };
enum { COLORS = 6 }; /* styles that have a colour; the others say how a line is broken */

const ls_screen ls_screen_of_files = {.width = USUAL_WIDTH, .is_utf8 = true};

/* ------------------------------------------------------------------ characters */

static const struct spelling {
    uint32_t code;
    const char *text;
} spellings[] = {{0x2026, "..."}, {0x2013, "-"}, {0x2212, "-"}, {0xd7, "x"}, {0x2265, ">="}, {0x2264, "<="}};

static void spell(uint32_t code, ls_text *out) {
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (spellings[i].code == code) {
            ls_text_printf(out, "%s", spellings[i].text);
            return;
        }
    ls_text_printf(out, code < 0x100 ? "\\x%02x" : "\\u{%04x}", (unsigned)code);
}

static bool is_style(uint32_t code) { return (code >= (uint32_t)*LS_PLAIN && code <= (uint32_t)*LS_HANG) || code == (uint32_t)*LS_SHELL; }

void ls_screen_text(const ls_screen *screen, const char *text, size_t length, ls_text *out) {
    for (size_t at = 0, size; at < length; at += size) {
        uint32_t code = (unsigned char)text[at];
        size = ls_utf8_decode(text + at, length - at, &code);
        const bool is_plain = code == '\n' || is_style(code) || (!ls_is_unsafe(code) && (screen->is_utf8 || code < 0x80));
        if (size > 0 && is_plain)
            ls_text_append(out, text + at, size);
        else
            spell(code, out);
        size = size > 0 ? size : 1;
    }
}

/* ------------------------------------------------------------------ styles */

/* Appends a piece of a line, with colours for its styles. */
static void put_styled(const ls_screen *screen, const char *text, size_t length, ls_text *out) {
    static const char *const colors[COLORS] = {"\033[0m", "\033[32m", "\033[1;31m", "\033[33m", "\033[2m", "\033[1m"};
    for (size_t at = 0; at < length;) {
        size_t plain = 0;
        while (at + plain < length && !is_style((unsigned char)text[at + plain]))
            plain++;
        ls_text_append(out, text + at, plain);
        at += plain;
        for (; at < length && is_style((unsigned char)text[at]); at++) {
            const int style = text[at] - *LS_PLAIN;
            ls_text_printf(out, "%s", screen->color && style < COLORS ? colors[style] : "");
        }
    }
}

/* ------------------------------------------------------------------ lines */

/* Whether a place in a command is within quotes, as command_line_with puts them. */
static bool is_quoted(const char *at, size_t end) {
    bool quoted = false;
    for (size_t i = 0; i < end; i++)
        if (at[i] == '\\' && !quoted)
            i++;
        else
            quoted = quoted != (at[i] == '\'');
    return quoted;
}

/* Behind a space, unless a number and its percent sign stand around it. */
static bool may_break(const char *at, size_t end, bool is_command) { return at[end - 1] == ' ' && at[end] != '%' && !(is_command && is_quoted(at, end)); }

/* Where to break a line of which `fits` bytes fit: behind the last space, or within a word that is too long by itself. */
static size_t break_at(const char *at, size_t length, size_t fits, bool is_command) {
    const size_t lead = strspn(at, " ");
    size_t end = fits < length && at[fits] == ' ' ? fits + 1 : fits;
    if (fits == length)
        return fits;
    while (end > lead && !may_break(at, end, is_command))
        end--;
    if (end > lead || !is_command)
        return end > lead ? end : fits > 0 ? fits : length;
    for (end = fits + 1; end < length && !may_break(at, end, true);) /* a word of a command stays whole */
        end++;
    return end < length ? end : length;
}

/* The column below which the rest of a line goes. */
static size_t indentation(const char *line, size_t length) {
    const char *const hang = memchr(line, *LS_HANG, length);
    if (hang != NULL)
        return (size_t)ls_columns_of_bytes(line, (size_t)(hang - line));
    const size_t lead = strspn(line, " "), word = strcspn(line, " \n");
    const bool has_label = lead == 0 && word < LABEL && length > LABEL && strspn(line + word, " ") == LABEL - word;
    return has_label ? LABEL : lead + MORE;
}

static void put_wrapped(const ls_screen *screen, const char *line, size_t length, ls_text *out) {
    const bool is_command = memchr(line, *LS_SHELL, length) != NULL;
    const size_t wanted = indentation(line, length);
    const int indent = (int)wanted < screen->width - LEAST ? (int)wanted : 0, whole = screen->width - (is_command ? 2 : 0);
    int room = whole;
    while (length > 0) {
        const bool fits = ls_columns_of_bytes(line, length) <= screen->width - (room < whole ? indent : 0);
        const size_t end = fits ? length : break_at(line, length, ls_beginning(line, length, room), is_command);
        size_t shown = end;
        while (shown > 0 && shown < length && line[shown - 1] == ' ')
            shown--;
        put_styled(screen, line, shown, out);
        length -= end;
        line += end;
        while (length > 0 && *line == ' ')
            line++, length--;
        if (length > 0)
            ls_text_printf(out, "%s\n%*s", is_command ? " \\" : "", indent, "");
        room = whole - indent;
    }
}

static void put_cut(const ls_screen *screen, const char *line, size_t length, ls_text *out) {
    const size_t end = ls_beginning(line, length, screen->width);
    put_styled(screen, line, end, out);
    if (end < length && screen->color)
        put_styled(screen, LS_PLAIN, 1, out); /* what was cut may have ended a style */
}

static void put_line(const ls_screen *screen, const char *line, size_t length, ls_text *out) {
    if (screen->width <= 0)
        put_styled(screen, line, length, out);
    else if (length > 0 && *line == *LS_AS_IS)
        put_cut(screen, line, length, out);
    else
        put_wrapped(screen, line, length, out);
    ls_text_append(out, "\n", 1);
}

void ls_screen_print(const ls_screen *screen, const ls_text *lines, ls_text *out) {
    ls_text text = {0};
    if (lines->data != NULL)
        ls_screen_text(screen, lines->data, lines->length, &text);
    for (const char *at = text.data; at != NULL && *at != '\0';) {
        const size_t length = strcspn(at, "\n");
        put_line(screen, at, length, out);
        at += length + (at[length] == '\n');
    }
    if (lines->failed || text.failed)
        out->failed = true;
    ls_text_done(&text);
}
