/* Runs a fuzz target on a folder of seeds without a fuzzer: each seed as it is, cut off at
 * many lengths, and with bytes changed. A crash makes the test fail. Prints JUnit XML with a
 * case for each seed and kind of change. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_CUTS = 400, MOST_CHANGES = 1200, PATH_SIZE = 4096 };

static uint8_t *read_seed(const char *path, size_t *out_size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0)
        data = malloc((size_t)size + 1);
    if (data != NULL) {
        rewind(file);
        *out_size = fread(data, 1, (size_t)size, file);
    }
    if (file != NULL)
        fclose(file);
    return data;
}

/* Tries every length of a small seed, or evenly spread lengths of a large one. */
static void replay_cut(const uint8_t *data, size_t size) {
    size_t step = size / MOST_CUTS + 1;
    for (size_t length = 0; length < size; length += step)
        LLVMFuzzerTestOneInput(data, length);
}

/* Changes one byte at a time, so that counts and sizes become extreme. */
static void replay_changed(uint8_t *data, size_t size) {
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    size_t step = size / (MOST_CHANGES / sizeof masks) + 1;
    for (size_t at = 0; at < size; at += step)
        for (size_t i = 0; i < sizeof masks; i++) {
            data[at] ^= masks[i];
            LLVMFuzzerTestOneInput(data, size);
            data[at] ^= masks[i];
        }
}

static void report(const char *seed, const char *kind) {
    printf("<testcase classname=\"fuzz\" name=\"%s %s\"/>\n", seed, kind);
    fflush(stdout);
}

static int replay(const char *folder, const char *name) {
    char path[PATH_SIZE];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    uint8_t *data = read_seed(path, &size);
    if (data == NULL) {
        fprintf(stderr, "%s: can't be read\n", path);
        return 1;
    }
    LLVMFuzzerTestOneInput(data, size);
    report(name, "whole");
    replay_cut(data, size);
    report(name, "cut");
    replay_changed(data, size);
    report(name, "changed");
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int seeds = 0, failed = 0;
    const struct dirent *entry;
    if (folder == NULL) {
        fprintf(stderr, "usage: %s FOLDER-OF-SEEDS\n", argv[0]);
        return 2;
    }
    printf("<testsuite name=\"fuzz\">\n");
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.') {
            failed |= replay(argv[1], entry->d_name);
            seeds++;
        }
    printf("</testsuite>\n");
    closedir(folder);
    return failed || seeds == 0;
}
