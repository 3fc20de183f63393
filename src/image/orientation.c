/* The orientation of a picture: tag 0x112 of Exif, which is a TIFF file, or tiff:Orientation in XMP, which is XML. */
#include <string.h>

#include "image/codec.h"

typedef struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool is_big_endian;
} tiff;

/* Little or big endian; 0 beyond the end. */
static uint32_t number(const tiff *t, size_t at, size_t width) {
    uint32_t value = 0;
    if (at > t->size || t->size - at < width)
        return 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | t->bytes[at + (t->is_big_endian ? i : width - 1 - i)];
    return value;
}

int ls_exif_orientation(const uint8_t *bytes, size_t size) {
    enum { HEADER = 8, ENTRY = 12, TAG = 0x112, SHORT = 3, LONG = 4 };
    if (size < HEADER || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
        return 0;
    const tiff t = {bytes, size, bytes[0] == 'M'};
    const size_t directory = number(&t, 4, 4);
    const uint32_t entries = number(&t, directory, 2);
    for (uint32_t i = 0; i < entries && directory + 2 + (i + 1) * ENTRY <= size; i++) {
        const size_t entry = directory + 2 + (size_t)i * ENTRY;
        if (number(&t, entry, 2) != TAG)
            continue;
        const uint32_t type = number(&t, entry + 2, 2);
        return type == SHORT || type == LONG ? (int)(number(&t, entry + 8, type == SHORT ? 2 : 4) & 0xff) : 0;
    }
    return 0;
}

int ls_xmp_orientation(const uint8_t *bytes, size_t size) {
    static const char key[] = "tiff:Orientation";
    const size_t length = sizeof key - 1;
    for (const uint8_t *at = bytes; size > 0 && (at = memmem(at, size - (size_t)(at - bytes), key, length)) != NULL; at++) {
        const uint8_t *value = at + length;
        const size_t left = size - (size_t)(value - bytes);
        const size_t skip = left >= 3 && memcmp(value, "=\"", 2) == 0 ? 2 : left >= 2 && *value == '>' ? 1 : 0;
        if (skip > 0 && value[skip] >= '0' && value[skip] <= '9')
            return value[skip] - '0';
    }
    return 0;
}
