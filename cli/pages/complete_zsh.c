/* Completion for zsh: the specifications of _arguments. */
#include <stdio.h>
#include <string.h>

#include "pages.h"

/* Within single quotes; brackets, colons and backslashes have a meaning to _arguments. */
static void put(const char *text) {
    for (; *text != '\0'; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
}

static void put_option(const option_row *o) {
    bool is_long = o->name[1] == '-';
    printf("                '%s%s[", o->name, o->kind != OPTION_FLAG && is_long ? "=" : "");
    put(o->help);
    printf("]");
    if (o->kind != OPTION_FLAG) {
        printf(":%s:", o->value);
        if (option_is_path(o))
            printf("_files");
        for (const char *const *choice = o->choices; choice != NULL && *choice != NULL; choice++)
            printf("%s%s", choice == o->choices ? "(" : " ", *choice);
        if (o->choices != NULL)
            printf(")");
    }
    printf("' \\\n");
}

static void put_command(const command_row *row) {
    printf("        %s)\n            _arguments -S \\\n", row->name);
    for EACH_OPTION(row, o)
        put_option(o);
    printf("                '--help[print this command'\\''s usage and options]' \\\n");
    printf("                '%s'\n            ;;\n", row->takes_command ? "*:::command: _normal" : "*:file:_files");
}

void complete_zsh_print(void) {
    printf("#compdef lockstep\n"
           "# zsh completion of lockstep, generated from its tables of options\n"
           "_lockstep() {\n"
           "    local -a names\n"
           "    names=(\n");
    for EACH_COMMAND(row) {
        printf("        '%s:", (*row)->name);
        put((*row)->summary);
        printf("'\n");
    }
    printf("        'help:Explains a command.'\n"
           "    )\n"
           "    if (( CURRENT == 2 )) || [[ CURRENT -eq 3 && $words[2] == help ]]; then\n"
           "        _describe command names\n"
           "        return\n"
           "    fi\n"
           "    shift words\n"
           "    (( CURRENT-- ))\n"
           "    case $words[1] in\n");
    for EACH_COMMAND(row)
        put_command(*row);
    printf("    esac\n"
           "}\n"
           "_lockstep \"$@\"\n");
}
