#include "image/image.h"

#include <stdlib.h>

lockstep_status ls_image_new(uint32_t width, uint32_t height, ls_image *out, lockstep_error *error) {
    uint8_t *rgb = malloc((size_t)width * height * 3 + 1);
    if (rgb == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    *out = (ls_image){width, height, rgb};
    return LOCKSTEP_OK;
}

void ls_image_free(ls_image *image) {
    free(image->rgb);
    *image = (ls_image){0};
}

lockstep_status ls_image_check_size(const char *name, uint64_t width, uint64_t height, lockstep_error *error) {
    const unsigned long long w = width, h = height;
    if (width == 0 || height == 0)
        return ls_fail(error, LOCKSTEP_MALFORMED, "%s: found %llux%llu pixels, which is empty", name, w, h);
    if (width > LS_IMAGE_LONGEST_SIDE || height > LS_IMAGE_LONGEST_SIDE || width * height > LS_IMAGE_MOST_PIXELS)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: found %llux%llu pixels, expected at most %u in all, and sides of at most %d", name, w, h,
                       LS_IMAGE_MOST_PIXELS, LS_IMAGE_LONGEST_SIDE);
    return LOCKSTEP_OK;
}
