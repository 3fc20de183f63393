/* Manual pages, in the macros of man(7) that groff and mandoc share. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <lockstep/lockstep.h>

#include "base/utf8.h"
#include "pages.h"

/* UTF-8 text as roff: a backslash and a hyphen are escaped, non-ASCII characters are written by number. */
static void put(const char *text) {
    size_t length = strlen(text), at = 0;
    uint32_t code;
    for (size_t size; at < length && (size = ls_utf8_decode(text + at, length - at, &code)) > 0; at += size) {
        if (code == '\\')
            fputs("\\e", stdout);
        else if (code == '-')
            fputs("\\-", stdout);
        else if (code == '\'')
            fputs("\\(aq", stdout);
        else if (code < 0x80)
            putchar((int)code);
        else
            printf("\\[u%04X]", (unsigned)code);
    }
}

static void put_header(const char *name, const char *suffix, const char *summary) {
    printf(".TH ");
    for (const char *c = name; *c != '\0'; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    for (const char *c = suffix; *c != '\0'; c++)
        putchar(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    printf(" 1 \"\" \"lockstep %s\" \"Lockstep manual\"\n.SH NAME\n", lockstep_version());
    put(name);
    put(suffix);
    printf(" \\- ");
    put(summary);
    printf("\n");
}

static void put_option(const option_row *o) {
    printf(".TP\n\\fB");
    put(o->name);
    printf("\\fP");
    if (o->value != NULL) {
        printf(" \\fI");
        put(o->value);
        printf("\\fP");
    }
    printf("\n");
    put(o->help);
    printf("\n");
}

static void put_command(const command_row *row) {
    char suffix[40];
    snprintf(suffix, sizeof suffix, "-%s", row->name);
    put_header("lockstep", suffix, row->summary);
    printf(".SH SYNOPSIS\n\\fBlockstep %s\\fP ", row->name);
    put(row->usage);
    printf("\n.SH OPTIONS\n");
    for EACH_OPTION(row, o)
        put_option(o);
    put_option(&(option_row){.name = "--help", .help = "print this command's usage and options"});
    printf(".SH EXIT STATUS\n");
    put(row->exits);
    printf("\n.SH SEE ALSO\n\\fBlockstep\\fP(1)\n");
}

static void put_program(void) {
    put_header("lockstep", "", "finds the first tensor at which two implementations of a neural network diverge");
    printf(".SH SYNOPSIS\n\\fBlockstep\\fP \\fICOMMAND\\fP \\[u2026]\n.br\n\\fBlockstep help\\fP \\fICOMMAND\\fP\n.br\n\\fBlockstep \\-\\-version\\fP\n.SH COMMANDS\n");
    for EACH_COMMAND(row) {
        printf(".TP\n\\fB%s\\fP\n", (*row)->name);
        put((*row)->summary);
        printf("\n");
    }
    printf(".SH FILES\nA file of values without a header is given as \\fIPATH\\fP::\\fIDTYPE\\fP,\\fISHAPE\\fP, for example x.bin::f32,2x3.\n"
           ".SH ENVIRONMENT\n.TP\n\\fBLOCKSTEP_THREADS\\fP\nThe number of threads that compare, 1 to 64. The default is the number of cores.\n"
           ".TP\n\\fBLOCKSTEP_ROWS\\fP\nSo many rows of each operation are enough where operations are computed. By default, all are computed but of large ones.\n"
           ".TP\n\\fBLOCKSTEP_BLAS\\fP\n0: matrix products are not computed by OpenBLAS.\n"
           ".TP\n\\fBCOLUMNS\\fP\nThe width of reports that are not written to a terminal. The default is 100; 0 means that lines are not broken.\n"
           ".TP\n\\fBNO_COLOR\\fP, \\fBCLICOLOR_FORCE\\fP, \\fBTERM\\fP\nWithout \\-\\-color, reports on a terminal have colours unless NO_COLOR is set or TERM is dumb; CLICOLOR_FORCE=1 gives them to files, too.\n"
           ".SH EXIT STATUS\n0 match, 1 diverged, 2 error.\n.SH SEE ALSO\n");
    for EACH_COMMAND(row)
        printf("\\fBlockstep\\-%s\\fP(1)%s\n", (*row)->name, row[1] != NULL ? "," : "");
}

void man_print(const command_row *row) {
    if (row != NULL)
        put_command(row);
    else
        put_program();
}
