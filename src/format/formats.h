/* The rows that formats.c collects: one a file. */
#ifndef LS_FORMAT_FORMATS_H
#define LS_FORMAT_FORMATS_H

#include "format/archive.h"

extern const ls_format ls_format_trace, ls_format_safetensors, ls_format_gguf, ls_format_npy,
    ls_format_npz, ls_format_npy_directory,
    ls_format_torch, ls_format_gguf_directory, ls_format_text, ls_format_text_directory,
    ls_format_raw;

/* safetensors' name of a type, or NULL. */
const char *ls_safetensors_name(lockstep_dtype dtype);

/* --- traces in one file: the tensors, and trace.jsonl as metadata or as an array of
 * bytes under this name */
#define LS_TRACE_LOG "lockstep_trace"
/* False when the archive has none. */
bool ls_archive_trace_log(const lockstep_archive *archive, const char **out_bytes, uint64_t *out_size);
/* The name of the next line's tensor in a container: the line's name, with #2, #3, …
 * when it was there before. NULL when there is no memory. */
const char *ls_trace_tensor_name(ls_arena *arena, ls_names *seen, const char *name);
enum { LS_SHORT_NAME = 64 };
/* A name for formats that allow 63 bytes: itself, or its end behind a hash of it. */
void ls_short_name(const char *name, char out[LS_SHORT_NAME]);

#endif
