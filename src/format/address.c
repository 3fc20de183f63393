#include "format/address.h"

#include <ctype.h>
#include <string.h>

#include "base/checked.h"

/* What follows the last "::", or NULL. */
static const char *find_spec(const char *text) {
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, "::")) != NULL; at++)
        found = at + 2;
    return found;
}

size_t ls_address_path_length(const char *text) {
    const char *spec = find_spec(text);
    return spec != NULL ? (size_t)(spec - text) - 2 : 0;
}

/* Reads the axes after a comma: "2x3x4". */
static bool read_shape(const char *at, ls_address *a) {
    for (;; at++) {
        uint64_t axis = 0;
        if (!isdigit((unsigned char)*at) || a->rank == LOCKSTEP_MAX_RANK)
            return false;
        for (; isdigit((unsigned char)*at); at++)
            if (!ls_mul_u64(axis, 10, &axis) || !ls_add_u64(axis, (uint64_t)(*at - '0'), &axis))
                return false;
        a->shape[a->rank++] = axis;
        if (*at == '\0')
            return true;
        if (*at != 'x')
            return false;
    }
}

static bool read_spec(const char *spec, ls_address *a) {
    char name[16];
    size_t length = strcspn(spec, ",");
    if (length >= sizeof name)
        return false;
    memcpy(name, spec, length);
    name[length] = '\0';
    if (!ls_dtype_find(name, &a->dtype) || a->dtype == LOCKSTEP_OPAQUE)
        return false;
    a->has_shape = spec[length] == ',';
    return !a->has_shape || read_shape(spec + length + 1, a);
}

lockstep_status ls_address_read(const char *text, ls_address *out_address, lockstep_error *error) {
    const char *spec = find_spec(text);
    ls_address a = {0};
    if (spec == NULL || !read_spec(spec, &a))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: expected PATH::DTYPE or PATH::DTYPE,SHAPE, as in x.bin::f32,2x3 (docs/formats.md)", text);
    *out_address = a;
    return LOCKSTEP_OK;
}
