/* Which weight of a GGUF file is which of a checkpoint, as a comparison has found it, in the form that --map reads. */
#ifndef LS_REPORT_LEARNED_WEIGHTS_H
#define LS_REPORT_LEARNED_WEIGHTS_H

#include "base/text.h"
#include "checkpoint/checkpoint_diff.h"

/* Appends the YAML. False where there is nothing to write, and when out of memory (`out` has then failed). */
bool ls_report_learned_weights(const ls_checkpoint_diff *diff, ls_text *out);

#endif
