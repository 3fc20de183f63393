/* The files of maps/, which are built in. */
#ifndef LS_PRESET_FILES_H
#define LS_PRESET_FILES_H

#include <stddef.h>

typedef struct ls_preset_file {
    const char *name; /* of the file, without .yaml */
    const char *text;
    size_t size;
} ls_preset_file;

extern const ls_preset_file ls_preset_files[]; /* ends with name == NULL */

#endif
