/* Prints a generated file: `pages man`, `pages man COMMAND`, `pages bash`, `pages zsh` or
 * `pages fish`. The Makefile runs it; it is not installed. */
#include <stdio.h>
#include <string.h>

#include "pages.h"

static int print_man(const char *name) {
    const command_row *row = name != NULL ? command_find(name) : NULL;
    if (name != NULL && row == NULL)
        return 1;
    man_print(row);
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", complete_bash_print}, {"zsh", complete_zsh_print}, {"fish", complete_fish_print}};
    const char *what = argc > 1 ? argv[1] : "";
    int status = 1;
    if (strcmp(what, "man") == 0)
        status = print_man(argc > 2 ? argv[2] : NULL);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strcmp(what, shells[i].name) == 0) {
            shells[i].print();
            status = 0;
        }
    if (status != 0)
        fprintf(stderr, "usage: pages man [COMMAND] | bash | zsh | fish\n");
    return fflush(stdout) == 0 ? status : 1;
}
