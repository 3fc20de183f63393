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
#include "checkpoint/checkpoint_diff.h"
#include "diff/diff.h"
#include "progress.h"
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

static bool write_bundle(const ls_explanation *x, const char *folder) {
    ls_bundled bundled = {0};
    lockstep_error error;
    if (!make_folder(folder))
        return false;
    if (ls_bundle_write(x->comparison->diff, x->pair, folder, &bundled, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep bundle: %s\n", error.message);
        remove_folder(folder);
        return false;
    }
    if (!write_readme(x, &bundled, folder))
        return false;
    printf("%s: %zu operation%s; README.txt says what is in it", folder, bundled.operations, bundled.operations == 1 ? "" : "s");
    if (bundled.has_numpy || bundled.has_ggml)
        printf(", and %s%s%s compute%s it", bundled.has_numpy ? "reproduce.py" : "", bundled.has_numpy && bundled.has_ggml ? " and " : "", bundled.has_ggml ? "reproduce.c" : "",
               bundled.has_numpy && bundled.has_ggml ? "" : "s");
    printf("\n");
    return true;
}

static int bundle(const bundle_options *o, ls_diff *diff, const char *name) {
    comparison_result result;
    alike_weights alike = {0};
    ls_explanation x = {0};
    lockstep_error error;
    comparison_explain("bundle", &o->comparison, diff, &alike, &result);
    x.comparison = &result.comparison;
    x.pair = chosen_pair("bundle", diff, name);
    const bool ok = x.pair != NULL && ls_diagnose_pair(diff, x.pair, &x.diagnosis, &x.attempts, &error) == LOCKSTEP_OK && write_bundle(&x, o->out != NULL ? o->out : "bundle");
    comparison_done(&result);
    alike_weights_done(&alike);
    return ok ? EXIT_MATCH : EXIT_TROUBLE;
}

static int run(const arguments *args, const void *parsed) {
    const bundle_options *o = parsed;
    const char *name = args->positional_count > 2 ? args->positional[2] : NULL;
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1])) {
        fprintf(stderr, "lockstep bundle: these are checkpoints, which have no operations: `lockstep diff` says all that is known of their weights\n");
        return EXIT_TROUBLE;
    }
    if (!comparison_understand("bundle", &o->comparison, &wanted))
        return EXIT_TROUBLE;
    wanted.explain = name != NULL ? name : "";
    progress_begin(NULL);
    const lockstep_status done = ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error);
    progress_end();
    if (done != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep bundle: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    const int status = bundle(o, diff, name);
    ls_diff_free(diff);
    return status;
}

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
