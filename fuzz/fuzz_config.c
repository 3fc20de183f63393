/* config.json, and the hyperparameters in it. */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + (size == 0));
    lockstep_archive none = {.path = "none", .format = "none"};
    ls_checkpoint sides[2] = {{.archive = &none, .directory = "", .architecture = "", .model = ""}, {.archive = &none, .directory = "", .architecture = "", .model = ""}};
    ls_source *source;
    ls_settings settings;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory("config.json", copy, size, &source, &error) == LOCKSTEP_OK) {
        if (ls_config_parse(source, &sides[0].config, &error) == LOCKSTEP_OK) {
            sides[1].config = sides[0].config;
            if (ls_settings_compare(&sides[0], &sides[1], &settings, &error) != LOCKSTEP_OK)
                abort();
            for (size_t i = 0; i < settings.count; i++)
                if (settings.items[i].verdict != LS_SETTING_EQUAL)
                    abort(); /* a file must equal itself */
            ls_settings_done(&settings);
            json_decref(sides[0].config);
        } else if (error.message[0] == '\0') {
            abort(); /* a failure must have a message */
        }
        ls_source_close(source);
    }
    free(copy);
    return 0;
}
