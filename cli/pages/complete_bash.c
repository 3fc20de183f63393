/* Completion for bash. Where nothing is printed, bash completes the names of files. */
#include <stdio.h>

#include "pages.h"

static void put_choices(void) {
    for EACH_COMMAND(row)
        for EACH_OPTION(*row, o) {
            if (o->choices == NULL)
                continue;
            printf("        %s/%s) words=\"", (*row)->name, o->name);
            for (const char *const *choice = o->choices; *choice != NULL; choice++)
                printf("%s%s", choice == o->choices ? "" : " ", *choice);
            printf("\" ;;\n");
        }
}

/* Options whose value isn't a choice: a file, or a value that can't be completed. */
static void put_values(void) {
    for EACH_COMMAND(row) {
        const char *separator = "        ";
        for EACH_OPTION(*row, o)
            if (o->kind != OPTION_FLAG && o->choices == NULL) {
                printf("%s%s/%s", separator, (*row)->name, o->name);
                separator = "|";
            }
        if (*separator == '|')
            printf(") return ;;\n");
    }
}

static void put_options(void) {
    for EACH_COMMAND(row) {
        printf("        %s) words=\"", (*row)->name);
        for EACH_OPTION(*row, o)
            printf("%s ", o->name);
        printf("--help%s\" ;;\n", (*row)->takes_command ? " --" : "");
    }
}

void complete_bash_print(void) {
    printf("# bash completion of lockstep, generated from its tables of options\n"
           "_lockstep() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words= i\n"
           "    COMPREPLY=()\n"
           "    # --option=value is three words to bash\n"
           "    if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
           "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
           "        if [[ ${COMP_WORDS[i]} == -- ]]; then\n"
           "            ((i + 1 < COMP_CWORD)) || COMPREPLY=($(compgen -c -- \"$word\"))\n"
           "            return\n"
           "        fi\n"
           "    done\n"
           "    if ((COMP_CWORD == 1)) || [[ $COMP_CWORD == 2 && $command == help ]]; then\n"
           "        words=\"");
    for EACH_COMMAND(row)
        printf("%s ", (*row)->name);
    printf("help --help --version\"\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case $command/$before in\n");
    put_choices();
    put_values();
    printf("    esac\n"
           "    [[ -n $words || $word == -* ]] || return\n"
           "    [[ -n $words ]] || case $command in\n");
    put_options();
    printf("    esac\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "}\n"
           "complete -o default -F _lockstep lockstep\n");
}
