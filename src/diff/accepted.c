#include "diff/accepted.h"

#include <string.h>

#include "base/pattern.h"
#include "base/text.h"

static const char option[] = "--accept";

typedef struct accepted {
    size_t rule_length;     /* of the text: its rule */
    const char *operations; /* behind the @; NULL for all */
} accepted;

static accepted split(const char *text) {
    const char *at = strchr(text, '@');
    return (accepted){at != NULL ? (size_t)(at - text) : strlen(text), at != NULL ? at + 1 : NULL};
}

static bool is_rule(const char *text, size_t length, const char *rule) { return strlen(rule) == length && memcmp(text, rule, length) == 0; }

static lockstep_status refuse_rule(const char *text, lockstep_error *error) {
    ls_text rules = {0};
    for (size_t i = 0; ls_replay_rule(i) != NULL; i++)
        ls_text_printf(&rules, "%s%s", i > 0 ? ", " : "", ls_replay_rule(i));
    ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: found '%s', expected RULE or RULE@OPERATIONS with one of the rules %s", option, text, rules.data != NULL ? rules.data : "");
    ls_text_done(&rules);
    return LOCKSTEP_INVALID_ARGUMENT;
}

static lockstep_status check(const char *text, lockstep_error *error) {
    const accepted a = split(text);
    bool known = false;
    regex_t pattern;
    for (size_t i = 0; ls_replay_rule(i) != NULL; i++)
        known = known || is_rule(text, a.rule_length, ls_replay_rule(i));
    if (!known)
        return refuse_rule(text, error);
    if (a.operations == NULL)
        return LOCKSTEP_OK;
    if (!ls_pattern_compile(a.operations, &pattern))
        return ls_pattern_refused(error, option, a.operations);
    regfree(&pattern);
    return LOCKSTEP_OK;
}

lockstep_status ls_accepted_check(const ls_diff_options *o, lockstep_error *error) {
    for (size_t i = 0; i < o->accept_count; i++)
        LS_TRY(check(o->accept[i], error));
    return LOCKSTEP_OK;
}

static void take(ls_diff *d, const char *text, const accepted *a, const regex_t *pattern) {
    ls_replay *r = &d->replay;
    for (size_t i = 0; i < r->count; i++) {
        ls_replayed *item = &r->items[i];
        const char *name = d->in.candidate.trace->nodes[item->node].name;
        if (!item->is_origin || item->rule == NULL || !is_rule(text, a->rule_length, item->rule) || (pattern != NULL && regexec(pattern, name, 0, NULL, 0) != 0))
            continue;
        item->is_origin = false;
        item->is_accepted = true;
        r->origins--;
        r->accepted++;
    }
}

lockstep_status ls_accepted_apply(ls_diff *d, lockstep_error *error) {
    for (size_t i = 0; i < d->options.accept_count; i++) {
        const accepted a = split(d->options.accept[i]);
        regex_t pattern;
        if (a.operations != NULL && !ls_pattern_compile(a.operations, &pattern))
            return ls_pattern_refused(error, option, a.operations);
        take(d, d->options.accept[i], &a, a.operations != NULL ? &pattern : NULL);
        if (a.operations != NULL)
            regfree(&pattern);
    }
    return LOCKSTEP_OK;
}
