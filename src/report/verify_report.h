/* What `lockstep verify` prints. */
#ifndef LS_REPORT_VERIFY_REPORT_H
#define LS_REPORT_VERIFY_REPORT_H

#include "base/text.h"
#include "report/screen.h"
#include "verify/verify.h"

/* all: every operation, not only those that fail. */
void ls_report_verification(const ls_verification *verification, bool all, const ls_screen *screen, ls_text *out);
void ls_report_verification_json(const ls_verification *verification, ls_text *out);

#endif
