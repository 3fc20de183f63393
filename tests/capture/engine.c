/* A tiny engine that records itself through the C capture API: an example of its
 * use, and what the tests observe.
 *
 *     engine MODE [N]
 *
 * A pass computes h[l] = h[l - 1] * 2 + pass for two layers of [3, 4] floats and
 * their sum; MODE says how the passes are run. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lockstep/capture.h>

enum { ROWS = 3, COLUMNS = 4, LAYERS = 2 };
static const uint64_t shape[] = {ROWS, COLUMNS};

static float run_pass(lockstep_recorder *recorder, int pass) {
    float h[ROWS][COLUMNS], sum = 0;
    const int32_t tokens[ROWS] = {5, 7, 9}, positions[ROWS] = {0, 1, 2};
    const lockstep_rows rows = {ROWS, tokens, positions, NULL};
    lockstep_capture_pass_begin(recorder, &rows);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            h[r][c] = (float)(r * COLUMNS + c);
    lockstep_capture_tensor(recorder, "embd", -1, LOCKSTEP_F32, 2, shape, NULL, h);
    for (int layer = 0; layer < LAYERS; layer++) {
        char name[32];
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLUMNS; c++)
                h[r][c] = h[r][c] * 2 + (float)pass;
        snprintf(name, sizeof name, "h-%d", layer);
        lockstep_capture_tensor(recorder, name, layer, LOCKSTEP_F32, 2, shape, NULL, h);
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            sum += h[r][c];
    lockstep_capture_tensor(recorder, "sum", -1, LOCKSTEP_F32, 0, NULL, NULL, &sum);
    lockstep_capture_pass_end(recorder);
    return sum;
}

static void run_passes(lockstep_recorder *recorder, int count) {
    for (int pass = 0; pass < count; pass++)
        printf("%d %g\n", pass, (double)run_pass(recorder, pass));
}

/* Says where it is after each pass, so that a test can kill it anywhere. */
static void run_long(lockstep_recorder *recorder, int count) {
    float *big = calloc(1 << 18, sizeof *big);
    const uint64_t length = 1 << 18;
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (int pass = 0; big != NULL && pass < count; pass++) {
        run_pass(recorder, pass);
        for (size_t i = 0; i < length; i++)
            big[i] = (float)pass;
        lockstep_capture_tensor(recorder, "big", -1, LOCKSTEP_F32, 1, &length, NULL, big);
        printf("pass %d\n", pass);
        fflush(stdout);
    }
    free(big);
}

/* Nodes of an engine that was built with an older, and with a newer version of the header. */
static void run_sizes(lockstep_recorder *recorder) {
    struct {
        lockstep_node node;
        char appended[64];
    } longer = {.node = {.size = sizeof longer, .name = "longer", .layer = -1, .dtype = LOCKSTEP_F32}};
    const float one = 1;
    memset(longer.appended, 0xff, sizeof longer.appended);
    longer.node.data = &one;
    lockstep_node none = longer.node;
    none.size = 0;
    none.name = "without its size";
    lockstep_node shorter = longer.node; /* of the first version, which ends with `writable` */
    shorter.size = offsetof(lockstep_node, operands);
    shorter.name = "shorter";
    shorter.operands = (const uint64_t *)8; /* memory that is not the node's */
    shorter.operand_count = 1000;
    shorter.view = (const lockstep_view *)8;
    lockstep_capture_node(recorder, &shorter);
    printf("%d %d\n", lockstep_capture_node(recorder, &longer.node) != 0, lockstep_capture_node(recorder, &none) != 0);
    printf("%d %d\n", lockstep_capture_wants(recorder, &longer.node), lockstep_capture_wants(recorder, &none));
}

/* What the recorder would refuse, and cut the process off for: left out, or noted, by the writer. */
static void run_limits(lockstep_recorder *recorder) {
    enum { MANY = 300, HUGE_COUNT = 4 << 20 };
    static char names[MANY][8];
    static double reals[HUGE_COUNT];
    static int32_t tokens[HUGE_COUNT];
    lockstep_parameter many[MANY];
    for (int i = 0; i < HUGE_COUNT; i++)
        reals[i] = 1.0 / 3;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        many[i] = (lockstep_parameter){.name = names[i], .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = i};
    }
    const lockstep_parameter same[] = {{.name = "a\xff", .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = 1},
                                       {.name = "a\xfe", .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = 2},
                                       {.name = "b\xfe", .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = 3}};
    const lockstep_parameter huge = {.name = "huge", .type = LOCKSTEP_PARAMETER_REALS, .count = HUGE_COUNT, .value.reals = reals};
    const float one = 1;
    lockstep_node node = {.size = sizeof node, .name = "many", .layer = -1, .dtype = LOCKSTEP_F32, .data = &one, .parameters = many, .parameter_count = MANY};
    lockstep_capture_node(recorder, &node);
    node.name = "same", node.parameters = same, node.parameter_count = 3;
    lockstep_capture_node(recorder, &node);
    node.name = "huge", node.parameters = &huge, node.parameter_count = 1;
    lockstep_capture_node(recorder, &node);
    node.name = "named", node.parameters = NULL, node.parameter_count = 0, node.dtype_name = "q4_K";
    lockstep_capture_node(recorder, &node);
    lockstep_capture_pass_end(recorder);
    lockstep_capture_pass_begin(recorder, &(lockstep_rows){.count = HUGE_COUNT, .tokens = tokens, .positions = tokens, .sequences = tokens});
    node.name = "last", node.dtype_name = NULL;
    lockstep_capture_node(recorder, &node);
}

/* Layouts, element types, a graph, and what can't be recorded. */
static void run_nodes(lockstep_recorder *recorder) {
    float values[2][3][4];
    const uint64_t three[] = {2, 3, 4}, turned[] = {4, 2, 3}, row[] = {4}, none[] = {0, 4}, nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int64_t permuted[] = {4, 48, 16}, reversed[] = {-4}, repeated[] = {0};
    const uint16_t bf16[4] = {0x3f80, 0xbf80, 0x4049, 0x7f80};
    uint8_t q8_0[34] = {0x00, 0x3c}; /* scale 1.0, then the values */
    const uint64_t block[] = {32};
    for (int i = 0; i < 24; i++)
        (&values[0][0][0])[i] = (float)i;
    for (int i = 0; i < 32; i++)
        q8_0[2 + i] = (uint8_t)(i - 16);
    lockstep_capture_tensor(recorder, "plain", 3, LOCKSTEP_F32, 3, three, NULL, values);
    lockstep_capture_tensor(recorder, "permuted", 3, LOCKSTEP_F32, 3, turned, permuted, values);
    lockstep_capture_tensor(recorder, "reversed", -1, LOCKSTEP_F32, 1, row, reversed, &values[0][0][3]);
    lockstep_capture_tensor(recorder, "repeated", -1, LOCKSTEP_F32, 1, row, repeated, &values[0][0][3]);
    lockstep_capture_tensor(recorder, "none", -1, LOCKSTEP_F32, 2, none, NULL, values);
    lockstep_capture_tensor(recorder, "bf16", -1, LOCKSTEP_BF16, 1, row, NULL, bf16);
    lockstep_capture_tensor(recorder, "q8_0", -1, LOCKSTEP_Q8_0, 1, block, NULL, q8_0);
    lockstep_capture_tensor(recorder, "nine axes", -1, LOCKSTEP_F32, 9, nine, NULL, values);
    lockstep_capture_tensor(recorder, "half a block", -1, LOCKSTEP_Q8_0, 1, row, NULL, q8_0);
    lockstep_capture_tensor(recorder, "na\"me\n\xff", -1, LOCKSTEP_F32, 0, NULL, NULL, values);
    lockstep_node weight = {.size = sizeof weight, .name = "w", .op = "NONE", .layer = -1, .role = LOCKSTEP_ROLE_WEIGHT,
                            .dtype = LOCKSTEP_OPAQUE, .dtype_name = "q6_K", .rank = 1, .shape = row};
    uint64_t sources[2] = {lockstep_capture_node(recorder, &weight), 0};
    const int64_t axes[] = {0, -2, INT64_MAX};
    const double factors[] = {0.5, -INFINITY};
    const lockstep_parameter parameters[] = {
        {.name = "eps", .type = LOCKSTEP_PARAMETER_REAL, .value.real = 1e-6},
        {.name = "n_dims", .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = INT64_MIN},
        {.name = "causal", .type = LOCKSTEP_PARAMETER_BOOLEAN, .value.boolean = true},
        {.name = "mode \"x\"", .type = LOCKSTEP_PARAMETER_TEXT, .value.text = "ne\\ox\n"},
        {.name = "axes", .type = LOCKSTEP_PARAMETER_INTEGERS, .count = 3, .value.integers = axes},
        {.name = "factors", .type = LOCKSTEP_PARAMETER_REALS, .count = 2, .value.reals = factors},
        {.name = "none", .type = LOCKSTEP_PARAMETER_INTEGERS, .count = 0, .value.integers = NULL},
        {.name = "eps", .type = LOCKSTEP_PARAMETER_REAL, .value.real = 7}, /* a name counts once */
        {.name = NULL, .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = 7},
        {.name = "later", .type = (lockstep_parameter_type)99, .value.integer = 7},
        {.name = "null", .type = LOCKSTEP_PARAMETER_TEXT, .value.text = NULL},
    };
    lockstep_node product = {.size = sizeof product, .name = "product", .op = "MUL_MAT", .layer = 1, .dtype = LOCKSTEP_F32, .rank = 1,
                             .shape = row, .data = values, .sources = sources, .source_count = 2, .backend = "CPU",
                             .parameters = parameters, .parameter_count = sizeof parameters / sizeof *parameters,
                             .where = "engine.c:12"};
    lockstep_node other = {.size = sizeof other, .name = "other name", .layer = 1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = row,
                           .alias = lockstep_capture_node(recorder, &product)};
    lockstep_capture_node(recorder, &other);
    const uint64_t operands[] = {other.alias, 0, sources[0], 1u << 30};
    const int64_t strides[] = {-8};
    const lockstep_view view = {.of = other.alias, .offset = 12, .strides = strides};
    lockstep_node masked = {.size = sizeof masked, .name = "masked", .op = "SOFT_MAX", .layer = 1, .dtype = LOCKSTEP_F32, .rank = 1, .shape = row,
                            .sources = sources, .source_count = 1, .operands = operands, .operand_count = 4, .view = &view};
    lockstep_capture_node(recorder, &masked);
    masked.name = "the sources"; /* need not be said twice */
    masked.operands = sources;
    masked.operand_count = 1;
    masked.view = NULL;
    lockstep_capture_node(recorder, &masked);
    run_sizes(recorder);
}

static void *run_thread(void *argument) {
    lockstep_recorder *recorder = lockstep_capture_open(argument, NULL);
    for (int pass = 0; pass < 50; pass++)
        run_pass(recorder, pass);
    lockstep_capture_close(recorder);
    return NULL;
}

static void run_threads(void) {
    static char names[2][8] = {"first", "second"};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_thread, names[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* The child inherits the recorder in the midst of a pass. */
static int run_fork(lockstep_recorder *recorder) {
    int status = 0;
    const float one = 1;
    lockstep_capture_pass_begin(recorder, NULL);
    lockstep_capture_tensor(recorder, "before", -1, LOCKSTEP_F32, 0, NULL, NULL, &one);
    fflush(stdout);
    pid_t child = fork();
    lockstep_capture_tensor(recorder, child == 0 ? "child" : "parent", -1, LOCKSTEP_F32, 0, NULL, NULL, &one);
    lockstep_capture_pass_end(recorder);
    if (child == 0)
        _exit(run_pass(recorder, 7) == 0);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

/* More than any disk takes at once. */
static void run_flood(lockstep_recorder *recorder, int megabytes) {
    const uint64_t length = 1 << 18;
    float *values = calloc(length, sizeof *values);
    for (int i = 0; values != NULL && i < megabytes; i++) {
        values[0] = (float)i;
        lockstep_capture_tensor(recorder, "flood", -1, LOCKSTEP_F32, 1, &length, NULL, values);
    }
    free(values);
}

/* Closes what it doesn't know of, as daemons do, and goes on. */
static void close_unknown(void) {
    for (int descriptor = 3; descriptor < 1024; descriptor++)
        close(descriptor);
}

static void run_closing(lockstep_recorder *recorder, int count) {
    run_pass(recorder, 0);
    close_unknown();
    usleep(100000); /* the recorder sees it, or it has all that follows */
    for (int pass = 1; pass < count; pass++)
        run_pass(recorder, pass);
}

/* Every descriptor that the recorder may take for its own is the program's: a child that has
 * nothing to do with the recording finds each as it was. */
static int run_reopening(lockstep_recorder *recorder) {
    int status = 0;
    run_pass(recorder, 0);
    close_unknown();
    for (int descriptor = 3; descriptor < 1000; descriptor++)
        dup2(STDIN_FILENO, descriptor);
    pid_t child = fork();
    if (child == 0) {
        for (int descriptor = 3; descriptor < 1000; descriptor++)
            if (fcntl(descriptor, F_GETFD) < 0)
                _exit(9);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

/* The passes are a grandchild's, which outlives its parents. */
static int run_daemon(lockstep_recorder *recorder, int count) {
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0)
            for (int pass = 0; pass < count; pass++)
                run_pass(recorder, pass);
        _exit(0);
    }
    return waitpid(child, NULL, 0) != child;
}

static void *flood_for_ever(void *recorder) {
    for (;;) {
        run_flood(recorder, 64);
        pthread_testcancel();
    }
    return NULL;
}

/* Wherever in its recording a thread is cancelled, others go on. */
static void run_cancelled(lockstep_recorder *recorder) {
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, flood_for_ever, recorder);
        usleep(10000 + 7000 * (useconds_t)i);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
        run_pass(recorder, i);
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "run";
    int count = argc > 2 ? atoi(argv[2]) : 2, status = 0;
    if (strcmp(mode, "exec") == 0)
        execl(argv[0], argv[0], "run", (char *)NULL);
    if (strcmp(mode, "threads") == 0)
        return run_threads(), 0;
    if (strcmp(mode, "nobody") == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
        return 77;
    while (strcmp(mode, "full") == 0 && dup(STDIN_FILENO) >= 0) /* no descriptor is left */
        ;
    lockstep_recorder *recorder = lockstep_capture_open("tiny", "1.0");
    if (strcmp(mode, "run") == 0)
        run_passes(recorder, count);
    else if (strcmp(mode, "loop") == 0)
        run_long(recorder, count);
    else if (strcmp(mode, "nodes") == 0)
        run_nodes(recorder);
    else if (strcmp(mode, "limits") == 0)
        run_limits(recorder);
    else if (strcmp(mode, "fork") == 0)
        status = run_fork(recorder);
    else if (strcmp(mode, "flood") == 0)
        run_flood(recorder, count);
    else if (strcmp(mode, "closing") == 0)
        run_closing(recorder, count);
    else if (strcmp(mode, "reopening") == 0)
        status = run_reopening(recorder);
    else if (strcmp(mode, "daemon") == 0)
        status = run_daemon(recorder, count);
    else if (strcmp(mode, "cancelled") == 0)
        run_cancelled(recorder);
    else if (strcmp(mode, "linger") == 0)
        sleep(run_pass(recorder, 0) > 0);
    else if (strcmp(mode, "exit") == 0)
        status = count;
    lockstep_capture_close(recorder);
    return status;
}
