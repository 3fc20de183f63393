/* The NPY header as NumPy writes it (numpy/lib/_format_impl.py,
 * _write_array_header and _wrap_header, version 1.0):
 *
 *   93 'NUMPY' 01 00   u16 LE length   dict literal   spaces '\n'
 *
 * The dict's keys are sorted, and each value is followed by ", ". Then come enough spaces
 * to widen the first axis to 21 digits, so that an array can grow in place, and 1 to 64
 * spaces that pad the header to a multiple of 64. */
#include <stdio.h>
#include <string.h>

#include "format/npy.h"

enum { ALIGNMENT = LS_NPY_ALIGNMENT, PREAMBLE = 10, GROWTH_DIGITS = 21 };

size_t ls_npy_header(lockstep_dtype dtype, int rank, const uint64_t *shape, char *out,
                     size_t capacity) {
    const char *descr = ls_dtype(dtype)->npy;
    if (descr == NULL || rank < 0 || rank > LOCKSTEP_MAX_RANK)
        return 0;
    char text[LS_NPY_HEADER_MAX];
    int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    int growth = 0;
    for (int i = 0; i < rank; i++) {
        int digits = snprintf(text + used, sizeof text - (size_t)used, "%llu",
                              (unsigned long long)shape[i]);
        if (i == 0)
            growth = GROWTH_DIGITS - digits;
        used += digits;
        /* a tuple of one element needs a comma */
        used += snprintf(text + used, sizeof text - (size_t)used, "%s",
                         i + 1 < rank ? ", " : rank == 1 ? "," : "");
    }
    used += snprintf(text + used, sizeof text - (size_t)used, "), }%*s", growth, "");
    size_t total = ((size_t)used + 1 + PREAMBLE) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    if (total > capacity || (size_t)used >= sizeof text)
        return 0;
    size_t length = total - PREAMBLE;
    memcpy(out, "\x93NUMPY\x01", 8); /* the literal's NUL is the minor version */
    out[8] = (char)(length & 0xff);
    out[9] = (char)(length >> 8);
    memcpy(out + PREAMBLE, text, (size_t)used);
    memset(out + PREAMBLE + used, ' ', total - PREAMBLE - (size_t)used - 1);
    out[total - 1] = '\n';
    return total;
}
