#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <lockstep/lockstep.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "base/text.h"
#include "io/guard.h"
#include "report/styles.h"
#include "command_line.h"
#include "commands.h"
#include "terminal.h"

static void print_help(FILE *to) {
    ls_text out = {0};
    ls_text_printf(&out, "usage: lockstep COMMAND …\n\n" LS_HANG "Finds the first tensor at which two implementations of a neural network diverge.\n\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        ls_text_printf(&out, "  %-10s " LS_HANG "%s\n", commands[i]->name, commands[i]->summary);
    ls_text_printf(&out, "\n" LS_HANG "A file of values without a header is given as PATH::DTYPE,SHAPE: x.bin::f32,2x3\n" LS_HANG "'lockstep help COMMAND' explains one. "
                         "Exit status: 0 match, 1 diverged, 2 error.\n");
    terminal_print(to, &out);
    ls_text_done(&out);
}

/* A file that is opened while descriptor 0, 1 or 2 is closed would be taken for a standard
 * stream. The placeholder can be neither read nor written, and commands don't inherit it. */
static bool fill_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd)
            return false;
    return true;
}

/* If output could not be written, the command has failed, whatever its status. */
static int finish(int status) {
    lockstep_error error;
    if (ls_guard_check(&error) != LOCKSTEP_OK) {
        if (status != EXIT_TROUBLE) /* otherwise there was a message already */
            fprintf(stderr, "lockstep: %s\n", error.message);
        status = EXIT_TROUBLE;
    }
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return status;
    fprintf(stderr, "lockstep: standard output can't be written%s%s\n", errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    return EXIT_TROUBLE;
}

static int refuse(const char *name) {
    char shown[200];
    const char *best = NULL;
    for (size_t i = 0; commands[i] != NULL; i++)
        best = ls_nearer(name, best, commands[i]->name);
    ls_escape(name, strlen(name), shown, sizeof shown);
    if (best != NULL)
        fprintf(stderr, "lockstep: no command '%s': did you mean '%s'? 'lockstep --help' lists them\n", shown, best);
    else
        fprintf(stderr, "lockstep: no command '%s'; 'lockstep --help' lists them\n", shown);
    return EXIT_TROUBLE;
}

/* Help for one command, or for all if `name` is NULL. */
static int help(const char *name) {
    if (name == NULL)
        return print_help(stdout), EXIT_MATCH;
    const command_row *row = command_find(name);
    if (row == NULL)
        return refuse(name);
    command_print_help(row);
    return EXIT_MATCH;
}

static int run(int argc, char **argv) {
    if (argc < 2)
        return print_help(stderr), EXIT_TROUBLE;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return help(argc > 2 && argv[1][0] != '-' ? argv[2] : NULL);
    if (strcmp(argv[1], "--version") == 0)
        return printf("lockstep %s\n", lockstep_version()), EXIT_MATCH;
    const command_row *row = command_find(argv[1]);
    return row != NULL ? command_run(row, argc - 2, argv + 2) : refuse(argv[1]);
}

/* What one tensor took is kept for the next: the system clears all memory that it gives out, which takes longer than most of
 * what is computed in it. */
static void keep_memory(void) {
#ifdef __GLIBC__
    enum { OWN_MAPPING = 1 << 25, KEPT = 1 << 29 }; /* bytes */
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
    mallopt(M_TRIM_THRESHOLD, KEPT);
#endif
}

int main(int argc, char **argv) {
    ls_guard_process();
    keep_memory();
    command_line_keep(argc, argv);
    return fill_standard_streams() ? finish(run(argc, argv)) : EXIT_TROUBLE;
}
