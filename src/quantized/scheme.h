/* The schemes: each is a file with a function that reads one quantized module, and a row of scheme_table.h. */
#ifndef LS_QUANTIZED_SCHEME_H
#define LS_QUANTIZED_SCHEME_H

#include <jansson.h>

#include "format/archive.h"
#include "quantized/code_grid.h"

typedef struct ls_module {
    lockstep_archive *archive;
    json_t *config;          /* quantization_config; NULL where there is none */
    const char *stem;        /* of its tensors' names */
    const ls_tensor *codes;
    ls_grid *grid;           /* in the archive's arena, as is all that it points to */
    /* what the scheme fills in besides the grid: */
    lockstep_dtype dtype;
    int rank;                /* of the weight */
    uint64_t shape[LOCKSTEP_MAX_RANK];
    bool is_transposed;      /* the last two axes of the shape are exchanged against how it is stored */
    const char *trouble;     /* why it can't be read */
} ls_module;

typedef struct ls_scheme {
    const char *name;
    const char *codes, *marker, *weight; /* ends of names: of its codes, of a tensor beside them, and of the weight */
    const char *methods;                 /* values of quant_method, between spaces; "-": none is given */
    bool (*fits)(const ls_module *module); /* whether the codes are of its kind; NULL: always */
    bool (*read)(ls_module *module);       /* false: see trouble */
} ls_scheme;

/* The tensor STEM + suffix, or NULL. */
const ls_tensor *ls_module_find(const ls_module *m, const char *suffix);
/* Sets trouble, and returns false. */
bool ls_module_fail(ls_module *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same where a part's shape isn't `expected`. */
bool ls_module_fail_shape(ls_module *m, const ls_tensor *part, const char *expected);
/* The part's bytes; NULL on failure. */
const uint8_t *ls_module_bytes(ls_module *m, const ls_tensor *part);
/* The part as a view of its values. */
bool ls_module_view(ls_module *m, const ls_tensor *part, ls_view *out_view);
/* An integer of the configuration; `otherwise` where there is none. */
long long ls_module_integer(const ls_module *m, const char *key, long long otherwise);
/* Copies the codes' shape, sets rows, columns and batch_rows; the last axis times `codes_each`. */
bool ls_module_shape(ls_module *m, const ls_tensor *codes, uint64_t times, uint64_t over);
/* Scales [rows, groups], [rows], [1] or [] of the matrix (or of each of several), as the columns of each group. */
bool ls_module_scales(ls_module *m, const ls_tensor *scale);
/* Values beside scales, of the same shape. */
bool ls_module_like_scales(ls_module *m, const ls_tensor *values, ls_group_values *out_values);
/* Reads g_idx: a group below `groups` for each column. */
bool ls_module_group_of(ls_module *m, const ls_tensor *index, uint64_t groups);
bool ls_module_is_plain_float(const ls_tensor *t);
/* The relative error of rounding to the type that scales are stored in. */
double ls_scale_error(lockstep_dtype dtype);

#endif
