#include "diff/siblings.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"

/* Appends a name without the numbers in it that are the layer's. */
static bool append_name(ls_text *key, const char *name, int layer) {
    while (*name != '\0') {
        size_t digits = strspn(name, "0123456789"), others = strcspn(name, "0123456789");
        if (digits > 0 && layer >= 0 && strtol(name, NULL, 10) == layer)
            ls_text_append(key, "*", 1);
        else
            ls_text_append(key, name, digits > 0 ? digits : others);
        name += digits > 0 ? digits : others;
    }
    return !key->failed;
}

/* Files a pair under its tensor, whatever the layer. */
static bool file_pair(const ls_diff *d, size_t pair, ls_map *groups, ls_text *key, ls_siblings *s) {
    const ls_pair *p = &d->pairs.items[pair];
    const ls_node *n = &d->in.candidate.trace->nodes[p->candidate_value];
    ls_text_clear(key);
    ls_text_printf(key, "%zu/%p/%d/%u/%s/", p->pass_pair, (const void *)p->rule, p->is_extra, n->occurrence, n->op);
    uint64_t *slot = append_name(key, n->name, n->layer) ? ls_map_at(groups, key->data, key->length) : NULL;
    if (slot == NULL)
        return false;
    bool fresh = *slot == 0;
    *slot = fresh ? groups->count : *slot;
    s->group[pair] = (size_t)*slot - 1;
    s->next[pair] = fresh ? LS_NONE : s->first[*slot - 1];
    s->first[*slot - 1] = pair;
    return true;
}

bool ls_siblings_find(const ls_diff *d, ls_siblings *out) {
    size_t count = d->pairs.count + 1;
    ls_siblings s = {calloc(count, sizeof *s.group), calloc(count, sizeof *s.next), calloc(count, sizeof *s.first)};
    ls_map groups = {0};
    ls_text key = {0};
    bool ok = s.group != NULL && s.next != NULL && s.first != NULL;
    for (size_t i = d->pairs.count; ok && i-- > 0;)
        ok = file_pair(d, i, &groups, &key, &s);
    ls_map_done(&groups);
    ls_text_done(&key);
    if (ok)
        *out = s;
    else
        ls_siblings_done(&s);
    return ok;
}

void ls_siblings_done(ls_siblings *siblings) {
    free(siblings->group);
    free(siblings->next);
    free(siblings->first);
    *siblings = (ls_siblings){0};
}

static int ascending(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

double ls_used_of_tolerance(const ls_pair *pair, const ls_mark *mark) { return pair->metrics.rel_l2 / mark->tolerance; }

void ls_sibling_errors_of(const ls_diff *d, const ls_siblings *s, const ls_mark *marks, size_t pair, ls_sibling_errors *out) {
    const ls_pair *p = &d->pairs.items[pair];
    const ls_node *nodes = d->in.candidate.trace->nodes;
    int layer = nodes[p->candidate_value].layer;
    size_t steps = 0;
    out->count = 0;
    out->faulty = false;
    for (size_t i = s->first[s->group[pair]]; i != LS_NONE && layer >= 0 && out->count < LS_SIBLINGS_MAX && steps++ < 4 * LS_SIBLINGS_MAX; i = s->next[i]) {
        const ls_pair *other = &d->pairs.items[i];
        if (nodes[other->candidate_value].layer == layer || other->precision != p->precision)
            continue;
        out->faulty = out->faulty || marks[i].verdict >= LS_VERDICT_NONFINITE;
        out->used[out->count++] = ls_used_of_tolerance(other, &marks[i]);
    }
    qsort(out->used, out->count, sizeof *out->used, ascending);
}
