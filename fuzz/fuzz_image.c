/* Decodes a picture, and resizes what comes out. */
#include <stdlib.h>
#include <string.h>

#include "image/picture_file.h"
#include "image/resample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resize(const ls_image *image, size_t seed) {
    size_t ways = 0, filters = 0;
    ls_image small;
    lockstep_error error;
    while (ls_ways[ways].name != NULL)
        ways++;
    while (ls_filters[filters].name != NULL)
        filters++;
    const ls_way *way = &ls_ways[seed % ways];
    const ls_resizing how = {&ls_filters[seed / ways % filters], way->sampling, way->arithmetic};
    if (ls_resize(image, NULL, &how, 5, 3, &small, &error) == LOCKSTEP_OK)
        ls_image_free(&small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST_PIXELS = 1 << 20 };
    uint8_t *copy = malloc(size + (size == 0)); /* of exactly `size` bytes */
    ls_source *source;
    ls_image image;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory("fuzz.png", copy, size, &source, &error) == LOCKSTEP_OK) {
        if (ls_image_decode(source, &image, &error) == LOCKSTEP_OK) {
            if ((uint64_t)image.width * image.height <= MOST_PIXELS)
                resize(&image, size);
            ls_image_free(&image);
        } else if (error.message[0] == '\0' || error.status == LOCKSTEP_OK) {
            abort(); /* a failure must have a message */
        }
        ls_source_close(source);
    }
    free(copy);
    return 0;
}
