/* Records COUNT tensors of BYTES each without computing anything: measures the recorder's speed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/lockstep.h>

int main(int argc, char **argv) {
    const size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const uint64_t shape[] = {bytes / sizeof(float)};
    float *values = malloc(bytes + sizeof *values);
    lockstep_recorder *recorder = lockstep_capture_open("record_tensors", NULL);
    if (recorder == NULL || values == NULL || shape[0] == 0)
        return fprintf(stderr, "usage: record_tensors BYTES COUNT, under lockstep capture\n"), 1;
    for (size_t i = 0; i < shape[0]; i++)
        values[i] = (float)(i % 1009) * 0.001f - 0.5f;
    lockstep_capture_pass_begin(recorder, NULL);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%zu", i);
        lockstep_capture_tensor(recorder, name, -1, LOCKSTEP_F32, 1, shape, NULL, values);
    }
    lockstep_capture_close(recorder);
    free(values);
    return 0;
}
