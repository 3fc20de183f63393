#include "run_lines.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "options.h"
#include "parity/fingerprint.h"
#include "report/cells.h"
#include "report/styles.h"

static void print(const ls_screen *screen, ls_text *lines) {
    ls_text out = {0};
    ls_screen_print(screen, lines, &out);
    fwrite(out.data != NULL ? out.data : "", 1, out.length, stdout);
    fflush(stdout);
    ls_text_done(&out);
    ls_text_done(lines);
}

void run_line_print(const ls_screen *screen, int width, const run_line *l) {
    static const char *const verdicts[] = {"match", "DIVERGED", "FAILED"}, *const styles[] = {LS_GOOD, LS_BAD, LS_DOUBT};
    ls_text name = {0}, lines = {0};
    ls_screen_text(screen, l->name, strlen(l->name), &name);
    ls_put_cell(screen, name.data != NULL ? name.data : "", width, false, &lines);
    ls_text_printf(&lines, "  %s%-8s" LS_PLAIN "  " LS_HANG "%s\n", styles[l->status], verdicts[l->status], l->told);
    if (l->why != NULL) {
        char why[2000];
        ls_escape(l->why, strlen(l->why), why, sizeof why);
        ls_text_printf(&lines, "%*s  reference: " LS_HANG "%s\n", width, "", why);
    }
    ls_text_done(&name);
    print(screen, &lines);
}

void run_totals_print(const ls_screen *screen, const run_totals *t) {
    char folder[PATH_MAX];
    ls_text lines = {0};
    ls_escape(t->folder, strlen(t->folder), folder, sizeof folder);
    ls_text_printf(&lines, "%zu match, %zu diverged, %zu failed; reports in %s/\n", t->by_status[EXIT_MATCH], t->by_status[EXIT_DIVERGED], t->by_status[EXIT_TROUBLE], folder);
    if (t->reused > 0)
        ls_text_printf(&lines, "%zu reference%s not recorded again (not watched: " LS_NOT_WATCHED "; --why says more)\n", t->reused, t->reused == 1 ? " was" : "s were");
    if (t->earliest != NULL)
        ls_text_printf(&lines, LS_STRONG "earliest divergence of all:" LS_PLAIN " %s\n", t->earliest);
    print(screen, &lines);
}
