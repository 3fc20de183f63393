/* The role of a tensor in its graph, and its spelling in traces. */
#ifndef LS_BASE_ROLE_H
#define LS_BASE_ROLE_H

#include <lockstep/capture.h>

/* "input", "weight", …; NULL for LOCKSTEP_ROLE_COMPUTED, which traces omit, and for invalid roles. */
const char *ls_role_name(lockstep_role role);
/* LOCKSTEP_ROLE_COMPUTED for NULL and for unknown names. */
lockstep_role ls_role_of(const char *name);

#endif
