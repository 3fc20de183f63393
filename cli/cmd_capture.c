#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/escape.h"
#include "convert/conversion.h"
#include "format/formats.h"
#include "naming.h"
#include "observer_check.h"
#include "commands.h"
#include "launch/observe.h"
#include "launch/unrecorded.h"
#include "record/stats_recording.h"
#include "record/trace_writer.h"
#include "trace/selection.h"

typedef struct capture_options {
    const char *out, *tensors, *ops, *layers, *passes, *observe, *format, *naming;
    double sources;
    bool graph_only, stats_only, stats, weights, kv, listen, check_observer, compiled;
} capture_options;

static const char *const formats[] = {"gguf", "npz", "safetensors", NULL};
static const char *const namings[] = {"kqv-trace", NULL};
static const char *const observe_choices[] = {"all", "named", "outputs", NULL};

#define FIELD(name) offsetof(capture_options, name)
static const option_row options[] = {
    {"-o", OPTION_PATH, FIELD(out), "OUT", "the trace to write: a new directory, or an older trace to replace", NULL},
    {"--tensors", OPTION_TEXT, FIELD(tensors), "REGEX", "keep the values of tensors whose name matches", NULL},
    {"--ops", OPTION_TEXT, FIELD(ops), "REGEX", "keep the values of operations that match", NULL},
    {"--layers", OPTION_TEXT, FIELD(layers), "LIST", "keep the values of these blocks, e.g. 0-3,7", NULL},
    {"--passes", OPTION_TEXT, FIELD(passes), "LIST", "keep the values of these forward passes, from 0", NULL},
    {"--observe", OPTION_TEXT, FIELD(observe), "WHAT", "all (default), named, or outputs: how much is kept", observe_choices},
    {"--sources", OPTION_NUMBER, FIELD(sources), "N", "with a filter: also what the matches are computed from, N levels up (ggml)", NULL},
    {"--weights", OPTION_FLAG, FIELD(weights), NULL, "also the weights, as they are in the engine's memory", NULL},
    {"--kv", OPTION_FLAG, FIELD(kv), NULL, "also the KV cache as each pass leaves it", NULL},
    {"--compiled", OPTION_FLAG, FIELD(compiled), NULL, "run torch.compile's code as compiled, and record only its inputs and outputs (PyTorch)", NULL},
    {"--stats", OPTION_FLAG, FIELD(stats), NULL, "print each tensor's mean, std, min and max as it is recorded", NULL},
    {"--check-observer", OPTION_FLAG, FIELD(check_observer), NULL, "run the command again, barely observed, and say whether observing changed the results", NULL},
    {"--format", OPTION_TEXT, FIELD(format), "NAME", "OUT is one file, not a directory: gguf, npz or safetensors", formats},
    {"--naming", OPTION_TEXT, FIELD(naming), "NAMES", "kqv-trace: the names of KQV trace monitors, with --format gguf", namings},
    {"--stats-only", OPTION_FLAG, FIELD(stats_only), NULL, "statistics and hashes, no values on disk", NULL},
    {"--graph-only", OPTION_FLAG, FIELD(graph_only), NULL, "the graph and its inputs, but nothing that is computed: diff then judges the model (ggml)", NULL},
    {"--listen", OPTION_FLAG, FIELD(listen), NULL, "no command: print the channel and the hook, record until standard input ends", NULL},
    {0},
};

static void print_size(uint64_t bytes, char *out, size_t capacity) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1000 && unit < 4; unit++)
        value /= 1000;
    snprintf(out, capacity, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void print_note(const capture_options *o, const ls_recorder_totals *t) {
    char note[300];
    ls_escape(t->note, strlen(t->note), note, sizeof note);
    if (t->notes == 1)
        fprintf(stderr, "lockstep: note: %s\n", note);
    else if (t->notes > 1)
        fprintf(stderr, "lockstep: note: %s (the first of %llu notes in %s)\n", note, (unsigned long long)t->notes, o->out);
}

/* Whether there is something to replace an older recording with. */
static bool has_tensors(const ls_recorder_totals *t) { return t->tensors > 0 || t->files > 0; }

static void print_nothing_selected(const capture_options *o) {
    ls_text only = {0};
    ls_selection_text(o->layers, o->tensors, o->ops, &only);
    if (only.length > 0)
        fprintf(stderr, "lockstep: no values were kept: nothing that was computed matches the selection (%s)\n", only.data);
    ls_text_done(&only);
}

static void print_summary(const capture_options *o, const ls_observed *done, const char *command) {
    const ls_recorder_totals *t = &done->totals;
    char size[32], engine[300], program[200];
    print_size(t->bytes, size, sizeof size);
    ls_escape(t->engine, strlen(t->engine), engine, sizeof engine);
    ls_escape(command, strlen(command), program, sizeof program);
    if (done->not_started != 0) {
        fprintf(stderr, "lockstep capture: %s: %s\n", program, strerror(done->not_started));
        return;
    }
    if (ls_recorded_nothing(done)) {
        ls_text why = {0};
        ls_explain_unrecorded(command, done, &why);
        fprintf(stderr, "lockstep: nothing was recorded: %s\n", why.data != NULL ? why.data : "out of memory");
        ls_text_done(&why);
        print_note(o, t);
        return;
    }
    fprintf(stderr, "lockstep: recorded %llu tensors in %llu pass%s (%llu with values, %s) of %s%s%s%s\n",
            (unsigned long long)t->tensors, (unsigned long long)t->passes, t->passes == 1 ? "" : "es",
            (unsigned long long)t->files, size, *engine ? engine : "an unnamed engine", has_tensors(t) ? " in " : "",
            has_tensors(t) ? o->out : "",
            done->whole          ? ""
            : t->lost_lines > 0 ? "; INCOMPLETE: the trace could not be written"
                                : "; INCOMPLETE: the run did not end normally");
    if (t->tensors > 0 && t->files == 0 && t->dropped == 0 && !o->stats_only)
        print_nothing_selected(o);
    if (t->lost_lines > 0)
        fprintf(stderr, "lockstep: %llu lines of the trace were lost: %s\n", (unsigned long long)t->lost_lines, t->reason);
    if (t->dropped > 0)
        fprintf(stderr, "lockstep: the values of %llu tensors were lost: %s\n", (unsigned long long)t->dropped, t->reason);
    if (*t->not_placed != '\0')
        fprintf(stderr, "lockstep: the older trace in %s could not be replaced: %s; the new one is in %s/.recording\n", o->out, t->not_placed, o->out);
    print_note(o, t);
}

/* Where the trace is recorded before it becomes one file. */
static bool recording_place(const capture_options *o, char *out, size_t capacity) {
    int length = snprintf(out, capacity, o->format != NULL ? "%s.recording" : "%s", o->out);
    if (length > 0 && (size_t)length < capacity)
        return true;
    fprintf(stderr, "lockstep capture: -o: the name is too long\n");
    return false;
}

/* A file that an earlier capture wrote, and may be written over. */
static bool is_recording(const char *path) {
    lockstep_archive *archive;
    const char *log;
    uint64_t size;
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0)
        return true; /* as mktemp creates it */
    if (lockstep_archive_open(path, &archive, NULL) != LOCKSTEP_OK)
        return false;
    bool ours = ls_archive_trace_log(archive, &log, &size);
    for (size_t i = 0; i < archive->meta_count && !ours; i++)
        ours = strcmp(archive->metas[i].key, NAMING_MARK) == 0; /* written with --naming, without the log */
    lockstep_archive_close(archive);
    return ours;
}

/* Whether nothing of the user's is in a place that would be written to, or removed. */
static bool is_free(const capture_options *o, const char *place) {
    struct stat info;
    char bare[PATH_MAX];
    if (o->format != NULL && lstat(place, &info) == 0) {
        fprintf(stderr, "lockstep capture: %s already exists, from a capture that is still running or that ended early; convert it, or remove it\n", place);
        return false;
    }
    if (o->format != NULL && lstat(o->out, &info) == 0 && !is_recording(o->out)) {
        fprintf(stderr, "lockstep capture: %s already exists and is not a recording; name a new file, or remove it\n", o->out);
        return false;
    }
    if (o->check_observer && (!observer_check_place(place, bare, sizeof bare) || lstat(bare, &info) == 0)) {
        fprintf(stderr, "lockstep capture: %s, where --check-observer records, already exists; remove it\n", bare);
        return false;
    }
    return true;
}

/* Converts the trace to one file; on failure the trace is left where it is. */
static int gather(const capture_options *o, const char *trace, int status) {
    lockstep_archive *archive;
    lockstep_error error;
    ls_convert_result result;
    lockstep_status done = lockstep_archive_open(trace, &archive, &error);
    if (done == LOCKSTEP_OK) {
        naming named = {0};
        if (o->naming != NULL)
            done = naming_kqv_trace(trace, o->tensors, o->layers, o->sources > 0, &named, &error);
        ls_convert_options wanted = {.format = o->format, .names = named.names, .metas = named.metas, .meta_count = o->naming != NULL ? 5 : 0};
        if (done == LOCKSTEP_OK)
            done = ls_convert(archive, o->out, &wanted, &result, &error);
        naming_done(&named);
        lockstep_archive_close(archive);
    }
    if (done == LOCKSTEP_OK)
        done = ls_trace_remove(trace, &error);
    if (done == LOCKSTEP_OK)
        return status;
    fprintf(stderr, "lockstep capture: %s; the trace is left in %s\n", error.message, trace);
    return status == 0 ? EXIT_TROUBLE : status;
}

/* Which options contradict each other, or NULL. */
static const char *objection(const capture_options *o, bool has_command) {
    if (o->out == NULL)
        return "-o OUT is missing: it names the trace to write";
    if (o->listen && has_command)
        return "--listen takes no command";
    if (!o->listen && !has_command)
        return "no command given after --";
    if (!isnan(o->sources) && (o->sources > 16 || o->sources != floor(o->sources)))
        return "--sources: expected a number of levels, 0 to 16";
    if (o->sources > 0 && o->tensors == NULL && o->ops == NULL)
        return "--sources needs --tensors or --ops";
    if (o->naming != NULL && (o->format == NULL || strcmp(o->format, "gguf") != 0))
        return "--naming needs --format gguf";
    if (o->graph_only && (o->stats_only || o->observe != NULL))
        return "--graph-only excludes --observe and --stats-only";
    if (o->check_observer && (o->listen || o->stats_only || o->graph_only))
        return "--check-observer needs a command, and values";
    return NULL;
}

/* Opens the recording: the directory, and also the terminal if that was requested. */
static lockstep_status open_recording(const capture_options *o, const char *place, ls_recording *out, lockstep_error *error) {
    ls_recording writer;
    LS_TRY(ls_trace_writer_open(place, &writer, error));
    if (o->stats)
        return ls_stats_recording_open(&writer, stderr, out, error);
    *out = writer;
    return LOCKSTEP_OK;
}

static int run(const arguments *args, const void *parsed) {
    const capture_options *o = parsed;
    const char *wrong = objection(o, args->command != NULL && args->command[0] != NULL);
    char place[PATH_MAX], levels[16];
    if (wrong != NULL)
        fprintf(stderr, "lockstep capture: %s\n", wrong);
    if (wrong != NULL || !recording_place(o, place, sizeof place))
        return EXIT_TROUBLE;
    if (!is_free(o, place))
        return EXIT_TROUBLE;
    struct stat info;
    bool older = o->format != NULL ? lstat(o->out, &info) == 0 : ls_trace_is_one(o->out);
    snprintf(levels, sizeof levels, "%.0f", o->sources);
    ls_recording recording;
    ls_observe_options wanted = {.directory = place, .tensors = o->tensors, .ops = o->ops, .layers = o->layers,
                                 .passes = o->passes, .what = o->observe, .stats_only = o->stats_only, .graph_only = o->graph_only,
                                 .sources = o->sources > 0 ? levels : NULL, .weights = o->weights, .caches = o->kv, .compiled = o->compiled};
    ls_observed done;
    lockstep_error error;
    lockstep_status status = LOCKSTEP_OK;
    if (o->stats) {
        status = open_recording(o, place, &recording, &error);
        wanted.recording = &recording;
    }
    if (status == LOCKSTEP_OK)
        status = ls_observe(&wanted, o->listen ? NULL : args->command, &done, &error);
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep capture: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    print_summary(o, &done, o->listen ? "the caller" : args->command[0]);
    bool recorded = has_tensors(&done.totals);
    if (!recorded && older)
        fprintf(stderr, "lockstep: the older recording in %s is kept\n", o->out);
    if (!recorded && o->format != NULL)
        ls_trace_remove(place, NULL);
    if (!recorded)
        return done.exit;
    int result = o->check_observer ? observer_check(place, args->command, done.exit) : done.exit;
    return o->format != NULL ? gather(o, place, result) : result;
}

const command_row command_capture = {
    .name = "capture",
    .usage = "-o OUT [options] -- COMMAND…",
    .summary = "Runs a command and records the tensors that it computes (ggml, PyTorch).",
    .exits = "that of the command; 2 when it could not be recorded",
    .options = options,
    .options_size = sizeof(capture_options),
    .max_positional = 0,
    .takes_command = true,
    .command_optional = true,
    .run = run,
};
