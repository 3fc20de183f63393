/* The tensors of a container, grouped by module. */
#ifndef LS_REPORT_TENSOR_TREE_H
#define LS_REPORT_TENSOR_TREE_H

#include "base/error.h"
#include "format/archive.h"
#include "report/screen.h"

/* Appends a line a module and tensor. Names are parted at dots and slashes; of numbered modules that are built alike, only the first is shown as a whole. */
lockstep_status ls_put_tensor_tree(const ls_screen *screen, const lockstep_archive *archive, ls_text *out, lockstep_error *error);

#endif
