/* What `lockstep verify` prints. */
#ifndef LS_REPORT_VERIFY_REPORT_H
#define LS_REPORT_VERIFY_REPORT_H

#include "base/text.h"
#include "verify/verify.h"

/* all: every operation, not only those that fail; width: of the terminal, 0 where there is none. */
void ls_report_verification(const ls_verification *verification, bool all, int width, ls_text *out);
void ls_report_verification_json(const ls_verification *verification, ls_text *out);

#endif
