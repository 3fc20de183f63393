/* What is generated from the tables of commands and options: manual pages and completion. */
#ifndef LS_CLI_PAGES_H
#define LS_CLI_PAGES_H

#include "../commands.h"

/* Each prints to standard output. A page for `row`, or for the program where it is NULL. */
void man_print(const command_row *row);
void complete_bash_print(void);
void complete_zsh_print(void);
void complete_fish_print(void);

/* The rows of all commands. */
#define EACH_COMMAND(row) (const command_row *const *row = commands; *row != NULL; row++)
#define EACH_OPTION(command, o) (const option_row *o = (command)->options; o->name != NULL; o++)

#endif
