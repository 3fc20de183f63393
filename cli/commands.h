/* The commands. */
#ifndef LS_CLI_COMMANDS_H
#define LS_CLI_COMMANDS_H

#include "options.h"

extern const command_row command_ls, command_show, command_capture, command_check, command_diff, command_convert, command_tokens, command_map, command_run_all, command_verify,
    command_init, command_explain, command_bundle, command_report, command_picture, command_preprocess;

extern const command_row *const commands[]; /* in the order of the help; ends with NULL */

/* NULL when there is none of this name. */
const command_row *command_find(const char *name);

#endif
