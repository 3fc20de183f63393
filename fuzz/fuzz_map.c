/* Naming rules, as in maps/ and --map. */
#include <stdlib.h>
#include <string.h>

#include "preset/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + (size == 0)), name[64];
    ls_rules rules;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_rules_parse("fuzz.yaml", copy, size, &rules, &error) == LOCKSTEP_OK) {
        for (size_t i = 0; i < rules.count; i++) {
            if (rules.rules[i].candidate == NULL || rules.rules[i].references == NULL)
                abort();
            ls_rules_expand(rules.rules[i].candidate, 12, -1, name, sizeof name);
        }
        ls_rules_done(&rules);
    } else if (error.message[0] == '\0') {
        abort(); /* a failure must have a message */
    }
    free(copy);
    return 0;
}
