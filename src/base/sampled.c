#include "base/sampled.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/random_place.h"

enum { END = 64 * 1024, BLOCK = 4 * 1024, BLOCKS = 16, ALL = 2 * END + BLOCKS * BLOCK };

typedef struct sampling {
    ls_sample_reader read;
    void *context;
    uint64_t hash; /* of the pieces so far, and the seed of the next */
} sampling;

static bool add(sampling *s, uint64_t at, size_t count) {
    const void *bytes = s->read(s->context, at, count);
    if (bytes != NULL)
        s->hash = XXH3_64bits_withSeed(bytes, count, s->hash);
    return bytes != NULL;
}

bool ls_sample_hash(uint64_t bytes, ls_sample_reader read, void *context, uint64_t *out_hash) {
    sampling s = {.read = read, .context = context};
    bool ok = true;
    if (bytes <= ALL) {
        for (uint64_t at = 0; at < bytes && ok; at += END)
            ok = add(&s, at, bytes - at < END ? (size_t)(bytes - at) : END);
    } else {
        ok = add(&s, 0, END) && add(&s, bytes - END, END);
        for (uint64_t k = 0; k < BLOCKS && ok; k++)
            ok = add(&s, ls_random_place(k, bytes - BLOCK + 1), BLOCK);
    }
    *out_hash = s.hash;
    return ok;
}
