/* What a comparison has learned about names, as rules that --map reads. */
#ifndef LS_REPORT_LEARNED_MAP_H
#define LS_REPORT_LEARNED_MAP_H

#include "base/text.h"
#include "diff/diff.h"

/* Appends the YAML; the comparison is finished. Each line has its evidence behind it. False where no names were learned, and when out of
 * memory (`out` has then failed). */
bool ls_report_learned_map(const ls_diff *diff, ls_text *out);

#endif
