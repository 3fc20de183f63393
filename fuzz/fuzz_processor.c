/* Reads an image processor's configuration from a file, and does to a small picture what it says. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>

#include "image/processor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sizes that a test has the time for. */
static bool is_small(const ls_wanted_size *s) {
    enum { MOST = 600 };
    return s->height < MOST && s->width < MOST && s->shortest_edge < MOST && s->longest_edge < MOST && s->max_height < MOST && s->max_width < MOST;
}

static void run(const ls_processor *p, size_t seed) {
    static uint8_t pixels[7 * 5 * 3];
    const ls_image image = {7, 5, pixels};
    ls_stages stages;
    lockstep_error error = {0};
    if (!is_small(&p->size) || !is_small(&p->crop_size) || !is_small(&p->pad_size) || p->max_image_tiles > 9)
        return;
    if (ls_preprocess(p, &ls_ways[seed % 2], &image, &stages, &error) == LOCKSTEP_OK)
        ls_stages_done(&stages);
    else if (error.message[0] == '\0' || error.status == LOCKSTEP_OK)
        abort(); /* a failure must have a message */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int file = memfd_create("config", 0);
    char path[64];
    ls_processor processor;
    lockstep_error error = {0};
    if (file < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (write(file, data, size) == (ssize_t)size) {
        if (ls_processor_open(path, &processor, &error) == LOCKSTEP_OK) {
            run(&processor, size);
            ls_processor_done(&processor);
        } else if (error.message[0] == '\0' || error.status == LOCKSTEP_OK) {
            abort();
        }
    }
    close(file);
    return 0;
}
