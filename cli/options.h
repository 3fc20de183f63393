/* Commands and their options: const tables, from which parsing, help and
 * completion all come. */
#ifndef LS_CLI_OPTIONS_H
#define LS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum { EXIT_MATCH = 0, EXIT_DIVERGED = 1, EXIT_TROUBLE = 2 };

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_PATH,   /* const char *; completion offers files and folders */
    OPTION_TEXTS,  /* option_list: may be given several times */
    OPTION_PATHS,  /* option_list; the same, which may be given several times */
    OPTION_NUMBER, /* double, finite and not negative; NaN when it isn't given */
} option_kind;

enum { OPTION_LIST_MAX = 16 };
typedef struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
} option_list;

typedef struct option_row {
    const char *name; /* "--json", or "-o" for a short one */
    option_kind kind;
    size_t offset;     /* of the field in the command's options struct */
    const char *value; /* shown in help: "FILE"; NULL for a flag */
    const char *help;
    const char *const *choices; /* NULL-terminated; NULL when free */
} option_row;

static inline bool option_is_path(const option_row *row) { return row->kind == OPTION_PATH || row->kind == OPTION_PATHS; }

typedef struct arguments {
    const char **positional; /* up to "--" */
    int positional_count;
    char **command; /* after "--", NULL-terminated; NULL when there is none */
} arguments;

typedef struct command_row {
    const char *name;
    const char *usage;   /* after the name */
    const char *summary; /* one line */
    const char *exits;   /* the exit statuses, one line */
    const option_row *options; /* ends with name == NULL */
    size_t options_size;       /* of the struct that `run` gets, zeroed, then filled */
    int min_positional, max_positional; /* max -1: any number */
    bool takes_command;                 /* needs "-- COMMAND…" unless optional */
    bool command_optional;
    int (*run)(const arguments *args, const void *options); /* the exit status */
} command_row;

/* Prints the command's usage, options and exit statuses. */
void command_print_help(const command_row *row);
/* Parses and runs; prints usage errors to stderr (EXIT_TROUBLE). */
int command_run(const command_row *row, int argc, char **argv);

#endif
