/* The files of the candidate's weights. */
#ifndef LS_CLI_CANDIDATE_FILES_H
#define LS_CLI_CANDIDATE_FILES_H

#include <stddef.h>

#include "options.h"
#include "trace/trace.h"

enum { CANDIDATE_FILES = 64 };

/* Those that the user gave, or else those that the candidate opened and that are what they were. None where one of several is an adapter, with
 * which weights alone say little. Returns how many there are; paths are the list's or the trace's. */
size_t candidate_files(const option_list *given, const ls_trace *candidate, const char *out_paths[CANDIDATE_FILES]);

#endif
