/* tokenizer.json. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const ls_tokenizer *tokenizer, const char *bytes, size_t size) {
    (void)bytes, (void)size;
    for (uint64_t i = 0; i < tokenizer->token_count; i++) {
        const ls_token *t = &tokenizer->tokens[i];
        if ((t->text != NULL && t->text[t->length] != '\0') || (tokenizer->scores != NULL && tokenizer->score_capacity <= i))
            abort();
    }
    for (uint64_t i = 0; i < tokenizer->merge_count; i++) {
        char after = tokenizer->merges[i].left[tokenizer->merges[i].left_length];
        if (after != ' ' && after != '\0')
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tokenizer("tokenizer.json", data, size, ls_tokenizer_parse_json, check); }
