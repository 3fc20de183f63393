#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "convert/conversion.h"
#include "options.h"

typedef struct convert_options {
    const char *to, *select, *format;
} convert_options;

static const char *const targets[] = {"keep", "f32", "f16", "bf16", NULL};
static const char *const formats[] = {"npy", "npz", "safetensors", "gguf", "text", "raw", NULL};

#define FIELD(name) offsetof(convert_options, name)
static const option_row options[] = {
    {"--to", OPTION_TEXT, FIELD(to), "TYPE", "floats become f32, f16 or bf16 (rounded to nearest); keep (default) where the format can", targets},
    {"--select", OPTION_TEXT, FIELD(select), "REGEX", "only tensors whose name matches", NULL},
    {"--format", OPTION_TEXT, FIELD(format), "NAME", "npy, npz, safetensors, gguf, text, raw (default: by OUT's suffix)", formats},
    {0},
};

static int run(const arguments *args, const void *parsed) {
    const convert_options *o = parsed;
    ls_convert_options wanted = {.select = o->select, .format = o->format};
    for (int i = 0; o->to != NULL && targets[i] != NULL; i++)
        if (strcmp(o->to, targets[i]) == 0)
            wanted.to = (ls_target)i;
    lockstep_archive *archive;
    lockstep_error error;
    ls_convert_result result;
    lockstep_status status = lockstep_archive_open(args->positional[0], &archive, &error);
    if (status == LOCKSTEP_OK) {
        status = ls_convert(archive, args->positional[1], &wanted, &result, &error);
        if (status == LOCKSTEP_OK && result.left_out > 0) {
            char name[300];
            ls_escape(result.first_left_out, strlen(result.first_left_out), name, sizeof name);
            fprintf(stderr, "lockstep convert: %zu tensors left out, whose type can't be written; the first: %s\n", result.left_out, name);
        }
        lockstep_archive_close(archive);
    }
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep convert: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    return result.left_out > 0 ? EXIT_DIVERGED : EXIT_MATCH;
}

const command_row command_convert = {
    .name = "convert",
    .usage = "IN OUT [options]",
    .summary = "Writes the tensors of any container into another.",
    .options = options,
    .options_size = sizeof(convert_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
