/* The schemes, in the order in which they are tried. */
#ifndef LS_QUANTIZED_SCHEME_TABLE_H
#define LS_QUANTIZED_SCHEME_TABLE_H

#include "quantized/scheme.h"

extern const ls_scheme ls_scheme_fp8_blocks, ls_scheme_fp8, ls_scheme_int8, ls_scheme_nvfp4, ls_scheme_nvfp4_modelopt, ls_scheme_packed,
    ls_scheme_mxfp4, ls_scheme_bnb4, ls_scheme_bnb8, ls_scheme_gptq, ls_scheme_awq, ls_scheme_mlx;

static const ls_scheme *const ls_schemes[] = {
    &ls_scheme_fp8_blocks, &ls_scheme_nvfp4_modelopt, &ls_scheme_fp8, &ls_scheme_int8, &ls_scheme_nvfp4, &ls_scheme_packed,
    &ls_scheme_mxfp4, &ls_scheme_bnb4, &ls_scheme_bnb8, &ls_scheme_gptq, &ls_scheme_awq, &ls_scheme_mlx,
};
enum { LS_SCHEMES = sizeof ls_schemes / sizeof *ls_schemes };

#endif
