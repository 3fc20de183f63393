#include "terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/styles.h"

const char *const color_choices[] = {"auto", "always", "never", NULL};

static int width(void) {
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    char *end = NULL;
    const long given = columns != NULL ? strtol(columns, &end, 10) : -1;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return end != columns && given >= 0 && given <= 10000 ? (int)given : ls_screen_of_files.width;
}

/* no-color.org, and what other programs do. */
static bool has_color(const char *color) {
    const char *const no = getenv("NO_COLOR"), *const force = getenv("CLICOLOR_FORCE"), *const term = getenv("TERM");
    if (color != NULL && strcmp(color, "auto") != 0)
        return strcmp(color, "always") == 0;
    if (no != NULL && *no != '\0')
        return false;
    if (force != NULL && *force != '\0' && strcmp(force, "0") != 0)
        return true;
    return isatty(STDOUT_FILENO) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

/* The encoding that the user's locale has; without a locale, what is written to a file is UTF-8, as usual. The process's own locale stays what it was:
 * numbers keep their points. */
static bool is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    bool has_locale = isatty(STDOUT_FILENO);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        has_locale = has_locale || (getenv(names[i]) != NULL && *getenv(names[i]) != '\0');
    if (!has_locale)
        return true;
    locale_t own = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    const bool found = own != (locale_t)0 && strcmp(nl_langinfo_l(CODESET, own), "UTF-8") == 0;
    if (own != (locale_t)0)
        freelocale(own);
    return found;
}

ls_screen terminal_screen(const char *color) { return (ls_screen){.width = width(), .color = has_color(color), .is_utf8 = is_utf8()}; }

void terminal_print(FILE *to, const ls_text *lines) {
    const ls_screen screen = terminal_screen(NULL);
    ls_text out = {0};
    ls_screen_print(&screen, lines, &out);
    fwrite(out.data != NULL ? out.data : "", 1, out.length, to);
    ls_text_done(&out);
}
