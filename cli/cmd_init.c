#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const option_row options[] = {{0}};

static const char text[] =
    "# For `lockstep run`: both commands are run and recorded for each prompt, and compared.\n"
    "# A command is a line (quotes as in a shell, nothing expanded) or a list of words.\n"
    "#   {prompt}  the prompt's text\n"
    "#   {tokens}  its ids, 1,2,3: those given below, or for the candidate those that the\n"
    "#             reference was given\n"
    "#   {out}     the prompt's directory, for the command's own files\n"
    "reference:\n"
    "  command: python -m lockstep_debug.hf model/ --prompt {prompt} --steps 4\n"
    "  # env: {HF_HUB_OFFLINE: \"1\"}\n"
    "  # what is kept, as for `lockstep capture`:\n"
    "  # observe: all              # or named, outputs\n"
    "  # tensors: \"q_proj|k_proj\"  # a regular expression; also ops, layers, passes\n"
    "\n"
    "candidate:\n"
    "  command: llama-completion -m model.gguf -no-cnv --no-warmup -p {prompt} -n 4 --temp 0\n"
    "\n"
    "prompts:\n"
    "  - The weather today is\n"
    "  # - {name: long, prompt: \"Once upon a time, there was\"}\n"
    "  # - {name: ids, tokens: [1, 450, 14826]}    # for commands with {tokens}\n"
    "\n"
    "compare: {}\n"
    "  # profile: auto             # or atol and rtol: docs/metrics.md\n"
    "  # map: names.yaml           # naming rules of your own: docs/presets.md\n"
    "  # layers: 0-3\n"
    "  # min-coverage: 0.5\n"
    "\n"
    "out: parity                   # a directory per prompt: traces, logs, report.txt, report.json\n";

static int run(const arguments *args, const void *parsed) {
    const char *path = args->positional_count > 0 ? args->positional[0] : "parity.yaml";
    (void)parsed;
    FILE *file = fopen(path, "wx");
    bool ok = file != NULL && fwrite(text, 1, sizeof text - 1, file) == sizeof text - 1;
    if (file != NULL)
        ok = fclose(file) == 0 && ok;
    if (!ok) {
        fprintf(stderr, "lockstep init: %s: %s\n", path, strerror(errno));
        return EXIT_TROUBLE;
    }
    printf("wrote %s: name your commands there, then 'lockstep run'\n", path);
    return EXIT_MATCH;
}

const command_row command_init = {
    .name = "init",
    .usage = "[parity.yaml]",
    .summary = "Writes a commented parity.yaml for 'lockstep run'.",
    .exits = "0, or 2 when the file could not be written",
    .options = options,
    .options_size = 1,
    .min_positional = 0,
    .max_positional = 1,
    .run = run,
};
