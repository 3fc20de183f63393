/* The rows that formats.c collects: one a file. */
#ifndef LS_FORMAT_FORMATS_H
#define LS_FORMAT_FORMATS_H

#include "format/archive.h"

extern const ls_format ls_format_trace, ls_format_safetensors, ls_format_gguf, ls_format_npy,
    ls_format_npz, ls_format_npy_directory,
    ls_format_torch, ls_format_gguf_directory, ls_format_text, ls_format_text_directory,
    ls_format_raw;

/* Of PATH::DTYPE[,SHAPE] (raw.c) the length of PATH; 0 of any other. */
size_t ls_raw_path_length(const char *path);

/* safetensors' name of a type, or NULL. */
const char *ls_safetensors_name(lockstep_dtype dtype);

#endif
