/* Completion for fish. */
#include <stdio.h>

#include "pages.h"

/* Within single quotes. */
static void put(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static void put_option(const command_row *row, const option_row *o) {
    bool is_long = o->name[1] == '-';
    printf("complete -c lockstep -n '__fish_seen_subcommand_from %s' -%c %s", row->name, is_long ? 'l' : 's', o->name + (is_long ? 2 : 1));
    if (option_is_path(o))
        printf(" -r -F");
    else if (o->kind != OPTION_FLAG)
        printf(" -x");
    for (const char *const *choice = o->choices; choice != NULL && *choice != NULL; choice++)
        printf("%s%s", choice == o->choices ? " -a '" : " ", *choice);
    printf("%s -d '", o->choices != NULL ? "'" : "");
    put(o->help);
    printf("'\n");
}

void complete_fish_print(void) {
    printf("# fish completion of lockstep, generated from its tables of options\n");
    for EACH_COMMAND(row) {
        printf("complete -c lockstep -n __fish_use_subcommand -f -a %s -d '", (*row)->name);
        put((*row)->summary);
        printf("'\ncomplete -c lockstep -n '__fish_seen_subcommand_from help' -f -a %s\n", (*row)->name);
    }
    printf("complete -c lockstep -n __fish_use_subcommand -f -a help -d 'Explains a command.'\n"
           "complete -c lockstep -n __fish_use_subcommand -l version -d 'Prints the version.'\n"
           "complete -c lockstep -l help -d 'Prints usage and options.'\n");
    for EACH_COMMAND(row)
        for EACH_OPTION(*row, o)
            put_option(*row, o);
}
