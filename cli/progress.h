/* One line on the terminal that says what is being done, while it takes more than a second. */
#ifndef LS_CLI_PROGRESS_H
#define LS_CLI_PROGRESS_H

/* Shows it from now on, if standard error is a terminal that nothing else is written to. `what`: of several things, the one that is being done, or NULL; it is
 * copied. */
void progress_begin(const char *what);
/* Erases the line, and shows it no more. Does nothing if none was begun. */
void progress_end(void);
/* Erases the line, for a message in its place; it comes back below. */
void progress_make_room(void);

#endif
