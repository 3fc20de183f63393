#include "base/role.h"

#include <string.h>

static const char *const names[] = {NULL, "input", "weight", "state", "view", "write"};
enum { ROLES = sizeof names / sizeof names[0] };

const char *ls_role_name(lockstep_role role) { return (unsigned)role < ROLES ? names[role] : NULL; }

lockstep_role ls_role_of(const char *name) {
    for (int i = 1; name != NULL && i < ROLES; i++)
        if (strcmp(name, names[i]) == 0)
            return (lockstep_role)i;
    return LOCKSTEP_ROLE_COMPUTED;
}
