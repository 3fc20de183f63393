/* lockstep bundle: the smallest reproduction of a divergence, to attach to a report. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/bundle.h"
#include "chosen_pair.h"
#include "commands.h"
#include "comparison.h"
#include "report/explanation.h"
#include "lockstep/lockstep.h"

typedef struct bundle_options {
    comparison_options comparison;
    const char *out;
} bundle_options;

static const option_row options[] = {
    {"-o", OPTION_PATH, offsetof(bundle_options, out), "DIR", "the folder to make (default: bundle)", NULL},
#include "comparison_rows.h"
    {0},
};

static void put_contents(const ls_bundled *b, ls_text *out) {
    ls_text_printf(out, "\nFiles\n\n  got.npy       what the candidate's operation gave\n  expected.npy  what the reference has in its place; NaN where it has nothing\n"
                        "  x*.npy        what the operation was computed from in the candidate's run: inputs, weights, caches\n");
    if (b->rows > 0)
        ls_text_printf(out, "\nOf %llu rows, only the one that differs most is here", (unsigned long long)b->of);
    if (b->channels > 0)
        ls_text_printf(out, "%s %llu of %llu channels, and of the weight only their rows", b->rows > 0 ? ", and of it" : "\nOnly", (unsigned long long)b->channels, (unsigned long long)b->of_channels);
    ls_text_printf(out, b->rows + b->channels > 0 ? ".\n" : "");
    ls_text_printf(out, "\n");
    if (b->has_numpy)
        ls_text_printf(out, "python3 reproduce.py computes it with NumPy.\n");
    if (b->has_ggml)
        ls_text_printf(out, "cc reproduce.c -lggml -lggml-base -lggml-cpu -lm computes it with ggml.\n");
    if (b->missing != NULL)
        ls_text_printf(out, "%s is not written here as a script.\n", b->missing);
    if (b->has_numpy || b->has_ggml)
        ls_text_printf(out, "Where the result is that of got.npy, the engine computes what its graph says: the graph, a parameter or a weight is not the reference's. Where it is "
                            "that of expected.npy, the engine's kernel is wrong.\n");
    ls_text_printf(out, "\nMade by lockstep %s.\n", lockstep_version());
}

static bool write_readme(const ls_explanation *x, const ls_bundled *b, const char *folder) {
    char path[4096];
    ls_text text = {0};
    ls_report_explanation(x, false, &ls_screen_of_files, &text);
    put_contents(b, &text);
    const bool ok = snprintf(path, sizeof path, "%s/README.txt", folder) < (int)sizeof path && comparison_write(&text, path);
    ls_text_done(&text);
    return ok;
}

static bool make_folder(const char *path) {
    if (mkdir(path, 0777) == 0)
        return true;
    fprintf(stderr, "lockstep bundle: %s: %s\n", path, errno == EEXIST ? "exists already: name another folder with -o, or remove it" : strerror(errno));
    return false;
}

/* A folder that this program has made, and could not fill. */
static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    for (const struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL; entry = readdir(folder))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

static void say_what_is_there(const char *folder, const ls_bundled *b) {
    const char *const scripts = b->has_numpy && b->has_ggml ? "reproduce.py and reproduce.c compute it" : b->has_numpy ? "reproduce.py computes it" : "reproduce.c computes it";
    printf("%s: %zu operation%s; README.txt says what is in it", folder, b->operations, b->operations == 1 ? "" : "s");
    if (b->has_numpy || b->has_ggml)
        printf(", and %s", scripts);
    printf("\n");
}

static int write_bundle(const ls_explanation *x, int status, const void *options_given) {
    const bundle_options *o = options_given;
    const char *folder = o->out != NULL ? o->out : "bundle";
    ls_bundled bundled = {0};
    lockstep_error error;
    (void)status;
    if (!make_folder(folder))
        return EXIT_TROUBLE;
    if (ls_bundle_write(x->comparison->diff, x->pair, folder, &bundled, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep bundle: %s\n", error.message);
        remove_folder(folder);
        return EXIT_TROUBLE;
    }
    if (!write_readme(x, &bundled, folder))
        return EXIT_TROUBLE;
    say_what_is_there(folder, &bundled);
    return EXIT_MATCH;
}

static int run(const arguments *args, const void *parsed) { return chosen_pair_use("bundle", args, parsed, write_bundle, EXIT_TROUBLE); }

const command_row command_bundle = {
    .name = "bundle",
    .usage = "REFERENCE CANDIDATE [NAME] [-o DIR] [options]",
    .summary = "Writes the smallest reproduction of one operation (default: the first divergence): operands, results, and scripts that compute it.",
    .exits = "0 written, 2 on an error, or where a value is not in the trace",
    .options = options,
    .options_size = sizeof(bundle_options),
    .min_positional = 2,
    .max_positional = 3,
    .run = run,
};
