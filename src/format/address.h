/* Addresses: PATH::DTYPE or PATH::DTYPE,2x3x4 describe the contents of a file without a header. */
#ifndef LS_FORMAT_ADDRESS_H
#define LS_FORMAT_ADDRESS_H

#include "tensor/tensor.h"

typedef struct ls_address {
    lockstep_dtype dtype;
    bool has_shape;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
} ls_address;

/* The length of PATH; 0 if the text has no "::" and is only a path. */
size_t ls_address_path_length(const char *text);
/* Reads what follows PATH::. LOCKSTEP_INVALID_ARGUMENT, with the whole text in the message, if it is not an
 * element type with an optional shape. */
lockstep_status ls_address_read(const char *text, ls_address *out_address, lockstep_error *error);

#endif
