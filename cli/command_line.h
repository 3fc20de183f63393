/* The command that was given, for reports that say how to see something again. */
#ifndef LS_CLI_COMMAND_LINE_H
#define LS_CLI_COMMAND_LINE_H

#include "base/text.h"

/* Borrows the words. */
void command_line_keep(int count, char **words);
/* The words as one line, quoted for a shell; NULL if there are none. It lives as long as the process. */
const char *command_line(void);
/* Appends it with one option more, in front of a command after "--". NULL: without one. */
void command_line_with(const char *option, ls_text *out);

/* Appends another command for two paths. */
void command_line_of(const char *command, const char *reference, const char *candidate, ls_text *out);

#endif
