/* Shared by the fuzz targets of tokenizer files: parses the bytes and checks the result. */
#ifndef LS_FUZZ_TOKENIZER_H
#define LS_FUZZ_TOKENIZER_H

#include <stdlib.h>
#include <string.h>

#include "checkpoint/tokenizer.h"

typedef lockstep_status fuzz_parse(ls_source *source, ls_tokenizer *out_tokenizer, lockstep_error *error);
/* `bytes` are those of the file. Aborts if the result can't be right. */
typedef void fuzz_check(const ls_tokenizer *tokenizer, const char *bytes, size_t size);

static inline int fuzz_tokenizer(const char *name, const uint8_t *data, size_t size, fuzz_parse *parse, fuzz_check *check) {
    char *copy = malloc(size + (size == 0)); /* exactly the file's size, so that reads beyond it are detected */
    ls_source *source;
    ls_tokenizer tokenizer;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory(name, copy, size, &source, &error) == LOCKSTEP_OK) {
        if (parse(source, &tokenizer, &error) == LOCKSTEP_OK) {
            check(&tokenizer, copy, size);
            ls_tokenizer_close(&tokenizer);
        } else if (error.message[0] == '\0') {
            abort(); /* a failure must have a message */
        }
    }
    free(copy);
    return 0;
}

#endif
