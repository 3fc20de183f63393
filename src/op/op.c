#include "op/op.h"

#include <stdio.h>
#include <string.h>

#include "op/words.h"

#define LS_OP_ROW(id_, name_, role_, precision_, traits_, ggml_, torch_, ...) \
    {.id = LS_OP_##id_, .name = name_, .role = LS_OP_ROLE_##role_, .precision = LS_OP_##precision_, .traits = (traits_), .ggml = ggml_, .torch = torch_, .parameters = {__VA_ARGS__}},
static const ls_op rows[] = {
#include "op/op_table.h"
};
#undef LS_OP_ROW

static const ls_op *find_exactly(const char *spelling) {
    for (size_t i = 1; i < LS_OP_COUNT; i++)
        if (ls_words_have(rows[i].ggml, spelling) || ls_words_have(rows[i].torch, spelling))
            return &rows[i];
    return NULL;
}

/* ATen's in-place variants end with an underscore. False for what is none. */
static bool without_underscore(const char *spelling, char out[64]) {
    size_t length = strlen(spelling);
    if (length < 2 || length >= 64 || spelling[length - 1] != '_')
        return false;
    snprintf(out, 64, "%.*s", (int)(length - 1), spelling);
    return true;
}

static const ls_op *find_in_place(const char *spelling) {
    char without[64];
    return without_underscore(spelling, without) ? find_exactly(without) : NULL;
}

static const ls_op *find_in_any_case(const char *spelling) {
    for (size_t i = 1; i < LS_OP_COUNT; i++)
        if (ls_words_have_in_any_case(rows[i].name, spelling) || ls_words_have_in_any_case(rows[i].ggml, spelling))
            return &rows[i];
    return NULL;
}

const ls_op *ls_op_find(const char *spelling) {
    const ls_op *found = *spelling != '\0' ? find_exactly(spelling) : &rows[LS_OP_UNKNOWN];
    if (found == NULL)
        found = find_in_place(spelling);
    if (found == NULL)
        found = find_in_any_case(spelling);
    return found != NULL ? found : &rows[LS_OP_UNKNOWN];
}

bool ls_op_is_of_ggml(const ls_op *op, const char *spelling) { return ls_words_have(op->ggml, spelling); }

bool ls_op_is_of_torch(const ls_op *op, const char *spelling) {
    char without[64];
    return ls_words_have(op->torch, spelling) || (without_underscore(spelling, without) && ls_words_have(op->torch, without));
}

const ls_op *ls_op_at(ls_op_id id) { return &rows[id]; }
