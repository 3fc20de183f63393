#include <lockstep/capture.h>

#define TEXT_OF(number) #number
#define TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *lockstep_version(void) {
    return TEXT(LOCKSTEP_VERSION_MAJOR, LOCKSTEP_VERSION_MINOR, LOCKSTEP_VERSION_PATCH);
}

int lockstep_version_number(void) { return LOCKSTEP_VERSION_NUMBER; }
