/* tokenizer.model, a SentencePiece model. */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + (size == 0));
    ls_source *source;
    ls_tokenizer tokenizer;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory("tokenizer.model", copy, size, &source, &error) == LOCKSTEP_OK) {
        if (ls_tokenizer_parse_pieces(source, &tokenizer, &error) == LOCKSTEP_OK) {
            for (uint64_t i = 0; i < tokenizer.token_count; i++) {
                const ls_token *t = &tokenizer.tokens[i];
                bool inside = t->text == NULL || t->length == 0 || (t->text >= copy && t->text + t->length <= copy + size);
                if (!inside || tokenizer.score_capacity <= i)
                    abort();
            }
            ls_tokenizer_close(&tokenizer);
        } else if (error.message[0] == '\0') {
            abort(); /* a failure says why */
        }
    }
    free(copy);
    return 0;
}
