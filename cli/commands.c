#include "commands.h"

#include <string.h>

const command_row *const commands[] = {
    &command_capture, &command_check, &command_diff, &command_explain, &command_bundle, &command_report, &command_verify, &command_run_all, &command_init, &command_tokens, &command_map, &command_ls, &command_show, &command_picture, &command_convert, &command_preprocess, NULL,
};

const command_row *command_find(const char *name) {
    const command_row *const *row = commands;
    while (*row != NULL && strcmp((*row)->name, name) != 0)
        row++;
    return *row;
}
