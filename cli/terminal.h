/* The terminal that a command writes to. */
#ifndef LS_CLI_TERMINAL_H
#define LS_CLI_TERMINAL_H

#include <stdio.h>

#include "options.h"
#include "report/screen.h"

/* For the field `color` of a command's options. */
#define COLOR_ROW(offset) {"--color", OPTION_TEXT, offset, "WHEN", "auto (default: on a terminal), always, or never", color_choices}
extern const char *const color_choices[];

/* Standard output's page. `color`: as given, or NULL. Without a terminal: COLUMNS, or 100 columns; COLUMNS=0 means no limit. */
ls_screen terminal_screen(const char *color);
/* Prints help, or other running text, as wide as the terminal. */
void terminal_print(FILE *to, const ls_text *lines);

#endif
