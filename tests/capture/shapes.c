/* An engine whose passes have whatever shape a test asks for:
 *
 *     shapes MODE WRONG [COUNT]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/lockstep.h>

enum { LENGTH = 8 };
static lockstep_recorder *recorder;
static float good[LENGTH] = {1, 2, 3, 4, 5, 6, 7, 8}, slightly[LENGTH], lost[LENGTH];

static uint64_t put(const char *name, const float *values, uint64_t source) {
    const uint64_t length = LENGTH;
    lockstep_node node = {.size = sizeof node, .name = name, .layer = -1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = &length, .data = values,
                          .sources = &source, .source_count = source != 0};
    return lockstep_capture_node(recorder, &node);
}

static void pass(const char *name, const float *values, int32_t token, int32_t position) {
    const lockstep_rows rows = {1, &token, &position, NULL};
    lockstep_capture_pass_begin(recorder, token >= 0 ? &rows : NULL);
    put(name, values, 0);
    lockstep_capture_pass_end(recorder);
}

/* What the reference has no name for lies between what is right and what isn't. */
static void between(int wrong) {
    uint64_t last = put("x", good, 0);
    last = put(wrong ? "mine" : "theirs", wrong ? slightly : good, last);
    put("y", wrong ? slightly : good, last);
    lockstep_capture_pass_end(recorder);
}

/* Some in a row are a little off, what follows agrees; and then nothing is right. */
static void chain(int wrong) {
    for (int step = 0; step < 3; step++) {
        uint64_t last = 0;
        lockstep_capture_pass_begin(recorder, NULL);
        for (int i = 0; i < 70; i++) {
            char name[16];
            snprintf(name, sizeof name, "t-%d", i);
            last = put(name, !wrong || (step == 0 && (i < 25 || i > 31)) ? good : step == 0 ? slightly : lost, last);
        }
        lockstep_capture_pass_end(recorder);
    }
}

/* The prompt in one pass, or in batches of three. */
static void prompt(int batches, char *ids) {
    int32_t tokens[64], positions[64], count = 0;
    for (char *id = strtok(ids, ","); id != NULL && count < 64; id = strtok(NULL, ",")) {
        positions[count] = count;
        tokens[count++] = atoi(id);
    }
    for (int at = 0; at < count;) {
        int n = !batches ? count : count - at < 3 ? count - at : 3;
        const uint64_t shape[2] = {(uint64_t)n, 4};
        const lockstep_rows rows = {(size_t)n, tokens + at, positions + at, NULL};
        float values[64][4];
        for (int i = 0; i < n; i++)
            for (int k = 0; k < 4; k++)
                values[i][k] = (float)(tokens[at + i] * (k + 1));
        lockstep_capture_pass_begin(recorder, &rows);
        lockstep_capture_tensor(recorder, "x", -1, LOCKSTEP_F32, 2, shape, NULL, values);
        lockstep_capture_pass_end(recorder);
        at += n;
    }
}

int main(int argc, char **argv) {
    const char *mode = argv[1];
    int wrong = atoi(argv[2]), count = argc > 3 ? atoi(argv[3]) : 1;
    for (int i = 0; i < LENGTH; i++) {
        slightly[i] = good[i] * 1.01f;
        lost[i] = NAN;
    }
    recorder = lockstep_capture_open("shapes", NULL);
    if (strcmp(mode, "between") == 0)
        between(wrong);
    else if (strcmp(mode, "chain") == 0)
        chain(wrong);
    else if (strcmp(mode, "prompt") == 0)
        prompt(wrong, argv[3]);
    else if (strcmp(mode, "cut") == 0) {
        lockstep_rows rows = {1, (const int32_t[]){3}, (const int32_t[]){0}, NULL};
        lockstep_capture_pass_begin(recorder, &rows);
        uint64_t x = put("x", good, 0);
        const uint64_t length = LENGTH;
        lockstep_node weight = {.size = sizeof weight, .name = "w", .layer = -1, .role = LOCKSTEP_ROLE_WEIGHT, .dtype = LOCKSTEP_F32, .rank = 1, .shape = &length};
        const uint64_t sources[2] = {x, lockstep_capture_node(recorder, &weight)};
        lockstep_node logits = {.size = sizeof logits, .name = "logits", .layer = -1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = &length, .data = good,
                                .sources = sources, .source_count = 2};
        lockstep_node scaled = {.size = sizeof scaled, .name = "scaled", .layer = -1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = &length, .data = slightly,
                                .sources = sources, .source_count = 1};
        if (wrong != 1)
            lockstep_capture_node(recorder, wrong == 2 ? &scaled : &logits);
    } else if (strcmp(mode, "rewind") == 0) {
        for (int i = 0; i < 5; i++)
            pass("x", good, i == 2 && wrong ? 77 : i, i);
        pass("x", good, 9, 1);
    }
    for (int i = 0; strcmp(mode, "passes") == 0 && i < count; i++)
        pass("x", wrong && i >= wrong ? lost : good, -1, i);
    for (int i = 0; strcmp(mode, "steps") == 0 && i < count; i++)
        pass("x", good, 5, i);
    if (strcmp(mode, "trail") == 0)
        pass("x", good, 3, 0);
    for (int i = 0; strcmp(mode, "trail") == 0 && i < count; i++)
        pass("audio", wrong ? lost : good, -1, 0);
    lockstep_capture_close(recorder);
    return 0;
}
