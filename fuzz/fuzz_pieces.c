/* tokenizer.model, a SentencePiece model. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const ls_tokenizer *tokenizer, const char *bytes, size_t size) {
    for (uint64_t i = 0; i < tokenizer->token_count; i++) {
        const ls_token *t = &tokenizer->tokens[i];
        bool inside = t->text == NULL || t->length == 0 || (t->text >= bytes && t->text + t->length <= bytes + size);
        if (!inside || tokenizer->score_capacity <= i)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tokenizer("tokenizer.model", data, size, ls_tokenizer_parse_pieces, check); }
