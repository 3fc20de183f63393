/* The rows that formats.c collects, each defined in a file of its own. */
#ifndef LS_FORMAT_FORMATS_H
#define LS_FORMAT_FORMATS_H

#include "format/archive.h"

extern const ls_format ls_format_trace, ls_format_safetensors, ls_format_gguf, ls_format_ggml, ls_format_npy,
    ls_format_npz, ls_format_npy_directory,
    ls_format_torch, ls_format_gguf_directory, ls_format_text, ls_format_text_directory,
    ls_format_raw;

/* The safetensors name of a type, or NULL. */
const char *ls_safetensors_name(lockstep_dtype dtype);

/* --- traces in one file: the container has the tensors, and under this name the contents of
 * trace.jsonl, as metadata or as an array of bytes */
#define LS_TRACE_LOG "lockstep_trace"
/* False if the archive has none. */
bool ls_archive_trace_log(const lockstep_archive *archive, const char **out_bytes, uint64_t *out_size);
/* The name in a container for the next line's tensor: the line's name, with #2, #3, …
 * appended if it occurred before. NULL if out of memory. */
const char *ls_trace_tensor_name(ls_arena *arena, ls_names *seen, const char *name);
enum { LS_SHORT_NAME = 64 };
/* A name for formats that allow 63 bytes: the name itself, or a hash of it followed by its end. */
void ls_short_name(const char *name, char out[LS_SHORT_NAME]);

#endif
