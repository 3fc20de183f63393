#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "base/text.h"
#include "report/styles.h"
#include "terminal.h"

static void put_option(const option_row *o, ls_text *out) {
    enum { LEFT = 24 };
    char left[48];
    const int length = snprintf(left, sizeof left, "%s%s%s", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
    ls_text_printf(out, "  %-*s %s" LS_HANG "%s\n", LEFT, left, length > LEFT ? " " : "", o->help);
}

void command_print_help(const command_row *row) {
    ls_text out = {0};
    ls_text_printf(&out, "usage: lockstep %s " LS_HANG "%s\n\n" LS_HANG "%s\n", row->name, row->usage, row->summary);
    for (const option_row *o = row->options; o->name != NULL; o++) {
        ls_text_printf(&out, "%s", o == row->options ? "\noptions:\n" : "");
        put_option(o, &out);
    }
    ls_text_printf(&out, "\nexit status: " LS_HANG "%s\n", row->exits);
    terminal_print(stdout, &out);
    ls_text_done(&out);
}

static int usage_error(const command_row *row, const char *what, const char *word) {
    char shown[200];
    ls_escape(word, strlen(word), shown, sizeof shown);
    fprintf(stderr, "lockstep %s: %s%s%s\nusage: lockstep %s %s\n", row->name, what,
            *shown ? ": " : "", shown, row->name, row->usage);
    return EXIT_TROUBLE;
}

static const option_row *find_option(const command_row *row, const char *word, size_t length) {
    for (const option_row *o = row->options; o->name != NULL; o++)
        if (strlen(o->name) == length && memcmp(o->name, word, length) == 0)
            return o;
    return NULL;
}

/* What a value must be, as "a, b or c". */
static void list_choices(const char *const *choices, ls_text *out) {
    for (size_t i = 0; choices[i] != NULL; i++)
        ls_text_printf(out, "%s%s", i == 0 ? "" : choices[i + 1] != NULL ? ", " : " or ", choices[i]);
}

static bool add_to_list(option_list *list, const char *value, ls_text *expected) {
    if (list->count == OPTION_LIST_MAX) {
        ls_text_printf(expected, "at most %d of these options", OPTION_LIST_MAX);
        return false;
    }
    list->items[list->count++] = value;
    return true;
}

/* False if the value is refused; then `expected` says what it must be. */
static bool set_option(const option_row *o, const char *value, char *options, ls_text *expected) {
    void *field = options + o->offset;
    if (o->kind == OPTION_FLAG) {
        *(bool *)field = true;
        return true;
    }
    if (o->kind == OPTION_NUMBER) {
        char *end;
        double number = strtod(value, &end);
        if (end == value || *end != '\0' || !isfinite(number) || number < 0) {
            ls_text_printf(expected, "a number of at least 0");
            return false;
        }
        *(double *)field = number;
        return true;
    }
    if (o->kind == OPTION_PATHS || o->kind == OPTION_TEXTS)
        return add_to_list(field, value, expected);
    const char *const *choice = o->choices;
    while (choice != NULL && *choice != NULL && strcmp(*choice, value) != 0)
        choice++;
    if (choice != NULL && *choice == NULL) {
        list_choices(o->choices, expected);
        return false;
    }
    *(const char **)field = value;
    return true;
}

static int refuse_value(const command_row *row, const option_row *o, const char *value, ls_text *expected) {
    char found[200], text[600];
    ls_escape(value, strlen(value), found, sizeof found);
    snprintf(text, sizeof text, "%s: found '%s', expected %s", o->name, found, expected->data != NULL ? expected->data : "another value");
    ls_text_done(expected);
    return usage_error(row, text, "");
}

static int refuse_option(const command_row *row, const char *word) {
    const char *best = NULL;
    char what[100];
    for (const option_row *o = row->options; o->name != NULL; o++)
        best = o->name[1] == '-' ? ls_nearer(word, best, o->name) : best;
    if (best == NULL)
        return usage_error(row, "unknown option", word);
    snprintf(what, sizeof what, "unknown option (did you mean %s?)", best);
    return usage_error(row, what, word);
}

static int parse(const command_row *row, int argc, char **argv, char *options, arguments *args) {
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (strcmp(word, "--") == 0 && row->takes_command) {
            args->command = argv + i + 1;
            break;
        }
        if (word[0] != '-' || word[1] == '\0') {
            args->positional[args->positional_count++] = word;
            continue;
        }
        const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
        const option_row *o = find_option(row, word, equals != NULL ? (size_t)(equals - word) : strlen(word));
        if (o == NULL)
            return refuse_option(row, word);
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (o->kind == OPTION_FLAG && value != NULL)
            return usage_error(row, "this option takes no value", o->name);
        if (o->kind != OPTION_FLAG && value == NULL) {
            if (i + 1 >= argc || (row->takes_command && strcmp(argv[i + 1], "--") == 0))
                return usage_error(row, "this option needs a value", o->name);
            value = argv[++i];
        }
        ls_text expected = {0};
        if (!set_option(o, value, options, &expected))
            return refuse_value(row, o, value, &expected);
    }
    if (args->positional_count < row->min_positional)
        return usage_error(row, "too few arguments", "");
    if (row->max_positional >= 0 && args->positional_count > row->max_positional)
        return usage_error(row, row->takes_command ? "unexpected argument (the command goes after --)"
                                                   : "unexpected argument",
                           args->positional[row->max_positional]);
    if (row->takes_command && !row->command_optional &&
        (args->command == NULL || args->command[0] == NULL))
        return usage_error(row, "no command given after --", "");
    return EXIT_MATCH;
}

/* Zeroed; numbers that are not given are NaN. */
static char *new_options(const command_row *row) {
    char *options = calloc(1, row->options_size + 1);
    for (const option_row *o = row->options; options != NULL && o->name != NULL; o++)
        if (o->kind == OPTION_NUMBER)
            *(double *)(void *)(options + o->offset) = NAN;
    return options;
}

int command_run(const command_row *row, int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return command_print_help(row), EXIT_MATCH;
    char *options = new_options(row);
    const char **positional = calloc((size_t)argc + 1, sizeof *positional);
    arguments args = {.positional = positional};
    int status = EXIT_TROUBLE;
    if (options == NULL || positional == NULL)
        fprintf(stderr, "lockstep: out of memory\n");
    else if ((status = parse(row, argc, argv, options, &args)) == EXIT_MATCH)
        status = row->run(&args, options);
    free(options);
    free(positional);
    return status;
}
