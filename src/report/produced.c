#include "report/produced.h"

#include <stdlib.h>
#include <time.h>

#include <lockstep/capture.h>

#include "report/json_values.h"

json_t *ls_json_produced(const char *command) {
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    const time_t now = fixed != NULL ? (time_t)strtoll(fixed, NULL, 10) : time(NULL);
    char when[32] = "";
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL)
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_pack("{s:s, s:s, s:o}", "version", lockstep_version(), "date", when, "command", command != NULL ? ls_json_text(command) : json_null());
}
