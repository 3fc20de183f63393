/* parity.yaml, and fingerprints as written by `lockstep run`. */
#include <stdlib.h>
#include <string.h>

#include "parity/fingerprint.h"
#include "parity/parity_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 1);
    ls_parity parity;
    ls_text why = {0};
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    if (ls_parity_parse("parity.yaml", copy, size, &parity, &error) == LOCKSTEP_OK) {
        for (size_t i = 0; i < parity.prompt_count; i++)
            if (parity.prompts[i].name[0] == '\0' || strchr(parity.prompts[i].name, '/') != NULL)
                abort(); /* it becomes the name of a directory */
        ls_parity_done(&parity);
    } else if (error.message[0] == '\0') {
        abort();
    }
    if (ls_fingerprint_matches(copy, "{\"command\": [\"x\"], \"files\": {}}", "0", &why) && strstr(copy, "command") == NULL)
        abort();
    ls_text_done(&why);
    free(copy);
    return 0;
}
