/* Records COUNT tensors of BYTES each, every one a source of the next, without computing anything: measures the
 * recorder's speed. With a SEED, tensors differ from each other, and slightly from those of another seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/lockstep.h>

static void fill(float *values, uint64_t elements, size_t tensor, unsigned seed) {
    for (size_t i = 0; i < elements; i++)
        values[i] = (float)((i + 31 * tensor) % 1009) * 0.001f - 0.5f + (float)(seed * (i % 7)) * 1e-7f;
}

int main(int argc, char **argv) {
    const size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const unsigned seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    const uint64_t shape[] = {bytes / sizeof(float)};
    float *values = malloc(bytes + sizeof *values);
    lockstep_recorder *recorder = lockstep_capture_open("record_tensors", NULL);
    if (recorder == NULL || values == NULL || shape[0] == 0)
        return fprintf(stderr, "usage: record_tensors BYTES COUNT [SEED], under lockstep capture\n"), 1;
    fill(values, shape[0], 0, 0);
    lockstep_capture_pass_begin(recorder, NULL);
    uint64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%zu", i);
        if (seed > 0)
            fill(values, shape[0], i, seed);
        const lockstep_node node = {.size = sizeof node, .name = name, .layer = -1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = shape,
                                    .data = values, .sources = &before, .source_count = i > 0};
        before = lockstep_capture_node(recorder, &node);
    }
    lockstep_capture_close(recorder);
    free(values);
    return 0;
}
