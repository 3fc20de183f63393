/* The command that was given, for reports that say how to see something again. */
#ifndef LS_CLI_COMMAND_LINE_H
#define LS_CLI_COMMAND_LINE_H

#include "base/text.h"

/* Borrows the words. */
void command_line_keep(int count, char **words);
/* Appended to a shell, it runs again; NULL where there is none. It lives as long as the process. */
const char *command_line(void);
/* Appends the command with an option more, in front of a command after "--". */
void command_line_with(const char *option, ls_text *out);

#endif
