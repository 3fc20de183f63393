#include "checkpoint/vocabulary_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

enum { SHOWN = LS_VOCABULARY_SHOWN };

typedef ls_vocabulary_comparing comparing;

static const char *const side_names[2] = {"reference", "candidate"};

lockstep_status ls_vocabulary_say(comparing *c, ls_vocabulary_finding_kind kind, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ls_vocabulary *v = c->v;
    ls_vocabulary_finding *bigger = reallocarray(v->findings, v->finding_count + 1, sizeof *bigger);
    if (bigger == NULL)
        return ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
    v->findings = bigger;
    v->findings[v->finding_count] = (ls_vocabulary_finding){ls_arena_copy(&v->arena, text, strlen(text)), kind};
    return v->findings[v->finding_count++].text != NULL ? LOCKSTEP_OK : ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
}

void ls_vocabulary_show(const ls_token *t, char out[SHOWN]) {
    if (t == NULL || t->text == NULL)
        snprintf(out, SHOWN, "(none)");
    else
        ls_escape(t->text, t->length, out, SHOWN);
}

const ls_token *ls_vocabulary_token(const comparing *c, int side, int64_t id) {
    const ls_tokenizer *t = &c->tokenizers[side];
    return id >= 0 && (uint64_t)id < t->token_count ? &t->tokens[id] : NULL;
}

bool ls_vocabulary_token_text(const comparing *c, int side, int64_t id, char out[SHOWN]) {
    const ls_token *t = ls_vocabulary_token(c, side, id);
    ls_vocabulary_show(t, out);
    return t != NULL && t->text != NULL;
}

lockstep_status ls_vocabulary_leave_out(comparing *c, const char *part) {
    const char *before = c->v->left_out;
    c->v->left_out = ls_arena_printf(&c->v->arena, "%s%s%s", before != NULL ? before : "", before != NULL ? ", " : "", part);
    return c->v->left_out != NULL ? LOCKSTEP_OK : ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
}

lockstep_status ls_vocabulary_unread(comparing *c, int side, lockstep_status status, const lockstep_error *why, const char *what) {
    const char *reason = NULL;
    LS_TRY(ls_checkpoint_unread(&c->v->arena, status, why, &reason, c->error));
    return reason != NULL ? ls_vocabulary_say(c, LS_VOCABULARY_UNREAD, "the %s of the %s: not compared: %s", what, side_names[side], reason) : LOCKSTEP_OK;
}
