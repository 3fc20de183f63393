#include "compare/cause.h"

#include <stdlib.h>
#include <string.h>

static void set(ls_cause *cause, const ls_cause_parameter *value) {
    for (ls_cause_parameter *p = cause->parameters; p < cause->parameters + LS_CAUSE_PARAMETERS; p++)
        if (p->name == NULL || strcmp(p->name, value->name) == 0) {
            *p = *value;
            return;
        }
}

void ls_cause_set_number(ls_cause *cause, const char *name, double number) { set(cause, &(ls_cause_parameter){.name = name, .number = number}); }
void ls_cause_set_text(ls_cause *cause, const char *name, const char *text) { set(cause, &(ls_cause_parameter){.name = name, .text = text}); }

/* Writes the parameter named in braces: "offset", or "offset:3" for a number with three significant digits. */
static void put_parameter(const ls_cause *cause, const char *key, size_t length, ls_text *out) {
    enum { DIGITS = 7 };
    size_t name = strcspn(key, ":}");
    int digits = name < length ? atoi(key + name + 1) : DIGITS;
    for (const ls_cause_parameter *p = cause->parameters; p < cause->parameters + LS_CAUSE_PARAMETERS && p->name != NULL; p++)
        if (strlen(p->name) == name && memcmp(p->name, key, name) == 0) {
            if (p->text != NULL)
                ls_text_append(out, p->text, strlen(p->text));
            else
                ls_text_printf(out, "%.*g", digits, p->number);
            return;
        }
}

void ls_cause_text(const ls_cause *cause, ls_text *out) {
    const char *at = cause->sentence;
    while (*at != '\0') {
        size_t plain = strcspn(at, "{");
        ls_text_append(out, at, plain);
        at += plain;
        if (*at == '{') {
            size_t length = strcspn(at + 1, "}");
            put_parameter(cause, at + 1, length, out);
            at += length + 2;
        }
    }
}
