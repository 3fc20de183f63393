#include "format/formats.h"

/* In the order of probing. Formats with unambiguous first bytes come first; a directory
 * with both safetensors and pytorch_model.bin is read as the former. */
const ls_format *const ls_formats[] = {
    &ls_format_trace,          &ls_format_gguf, &ls_format_ggml, &ls_format_npy,
    &ls_format_safetensors,    &ls_format_torch, &ls_format_npz, &ls_format_text,
    &ls_format_raw,            &ls_format_gguf_directory, &ls_format_text_directory,
    &ls_format_npy_directory,  NULL,
};
