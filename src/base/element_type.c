#include "base/element_type.h"

#include <string.h>

#include "base/checked.h"

static const ls_element_type types[LOCKSTEP_DTYPE_COUNT] = {
#define X(name, number, text, elements, bytes) [LOCKSTEP_##name] = {text, elements, bytes},
    LOCKSTEP_DTYPE_LIST(X)
#undef X
};

const ls_element_type *ls_element_type_of(lockstep_dtype dtype) {
    return (unsigned)dtype < LOCKSTEP_DTYPE_COUNT ? &types[dtype] : NULL;
}

const char *lockstep_dtype_name(lockstep_dtype dtype) {
    const ls_element_type *type = ls_element_type_of(dtype);
    return type != NULL ? type->name : "unknown";
}

bool ls_dtype_find(const char *name, lockstep_dtype *out_dtype) {
    for (int i = 0; i < LOCKSTEP_DTYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0 && (types[i].block_bytes > 0 || i == LOCKSTEP_OPAQUE)) {
            *out_dtype = (lockstep_dtype)i;
            return true;
        }
    return false;
}

bool ls_dtype_bytes(lockstep_dtype dtype, uint64_t elements, uint64_t inner, uint64_t *out_bytes) {
    const ls_element_type *type = ls_element_type_of(dtype);
    if (type == NULL || type->block_bytes == 0 || inner % type->block_elements != 0 ||
        elements % type->block_elements != 0)
        return false;
    return ls_mul_u64(elements / type->block_elements, type->block_bytes, out_bytes);
}
