/* What a tensor is in its graph, and how traces spell it. */
#ifndef LS_BASE_ROLE_H
#define LS_BASE_ROLE_H

#include <lockstep/capture.h>

/* "input", "weight", …; NULL for LOCKSTEP_ROLE_COMPUTED, which traces leave out, and for numbers that are no role. */
const char *ls_role_name(lockstep_role role);
/* LOCKSTEP_ROLE_COMPUTED for NULL, and for what is no role's name. */
lockstep_role ls_role_of(const char *name);

#endif
