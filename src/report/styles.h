/* Styles within text: a byte that begins one. They take no columns, and ls_screen_print turns them into colours, or takes them out. Texts from files
 * are escaped, so that they hold none of these. */
#ifndef LS_REPORT_STYLES_H
#define LS_REPORT_STYLES_H

#define LS_PLAIN "\1" /* ends every style */
#define LS_GOOD "\2"
#define LS_BAD "\3"
#define LS_DOUBT "\4" /* neither good nor bad, or a consequence */
#define LS_FAINT "\5"
#define LS_STRONG "\6"
#define LS_AS_IS "\7" /* begins a line that is cut instead of wrapped: a row of a table */
#define LS_HANG "\10" /* where the rest of a line that is broken begins below it */
#define LS_SHELL "\13" /* a command begins: where it is broken, the shell is told that it goes on */

#endif
