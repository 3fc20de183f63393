#include "report/learned_weights.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/grow.h"

/* A pair, as a rule would name it: stems with {L} for the layer. */
typedef struct known {
    const char *gguf, *hf; /* with {L}; the same as the names where these have no number in common */
    const char *own_gguf, *own_hf;
    unsigned changes;
    size_t order;
    double error; /* NMSE */
} known;

typedef struct weights {
    ls_arena arena;
    known *items;
    size_t count, capacity, left_out;
    bool failed;
} weights;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The place of the first number that both names have, in each; false where there is none. */
static bool find_layer(const char *a, const char *b, size_t *out_a, size_t *out_b, size_t *out_length) {
    for (size_t i = 0; a[i] != '\0'; i++) {
        const size_t length = strspn(a + i, "0123456789");
        for (size_t k = 0; length > 0 && b[k] != '\0'; k++)
            if (strspn(b + k, "0123456789") == length && (k == 0 || !is_digit(b[k - 1])) && memcmp(a + i, b + k, length) == 0) {
                *out_a = i;
                *out_b = k;
                *out_length = length;
                return true;
            }
        i += length > 0 ? length - 1 : 0;
    }
    return false;
}

static const char *with_layer(weights *w, const char *name, size_t at, size_t length) {
    const char *text = ls_arena_printf(&w->arena, "%.*s{L}%s", (int)at, name, name + at + length);
    w->failed = w->failed || text == NULL;
    return text;
}

/* Both names without the ending that they share, from its dot on: ".weight", ".bias". */
static const char *stem_of(weights *w, const char *name, const char *other) {
    const char *a = strrchr(name, '.'), *b = strrchr(other, '.');
    const bool shared = a != NULL && b != NULL && strcmp(a, b) == 0 && !is_digit(a[1]);
    const char *stem = ls_arena_copy(&w->arena, name, shared ? (size_t)(a - name) : strlen(name));
    w->failed = w->failed || stem == NULL;
    return stem;
}

static void add(weights *w, const ls_checkpoint_diff *d, size_t pair, int gguf) {
    const ls_weight_pair *p = &d->weights.pairs[pair];
    const char *names[LS_SIDES];
    size_t at[2], length;
    void *array = w->items;
    for (int side = 0; side < LS_SIDES; side++)
        names[side] = d->sides[side].archive->tensors[p->part[side].tensor].name;
    if (p->part[0].axis >= 0 || p->part[1].axis >= 0 || ls_weight_fails(p) || (p->changes != 0 && p->original == gguf) || strchr(names[0], '{') != NULL || strchr(names[1], '{') != NULL) {
        w->left_out++;
        return;
    }
    known k = {.own_gguf = stem_of(w, names[gguf], names[1 - gguf]), .own_hf = stem_of(w, names[1 - gguf], names[gguf]), .changes = p->changes, .order = pair, .error = p->metrics.nmse};
    w->failed = w->failed || !ls_grow(&array, w->count, &w->capacity, sizeof k);
    if (w->failed)
        return;
    w->items = array;
    const bool layered = find_layer(k.own_gguf, k.own_hf, &at[0], &at[1], &length);
    k.gguf = layered ? with_layer(w, k.own_gguf, at[0], length) : k.own_gguf;
    k.hf = layered ? with_layer(w, k.own_hf, at[1], length) : k.own_hf;
    w->items[w->count++] = k;
}

static int compare_known(const void *a, const void *b) {
    const known *x = a, *y = b;
    int order = strcmp(x->gguf, y->gguf);
    order = order != 0 ? order : strcmp(x->hf, y->hf);
    order = order != 0 ? order : (x->changes > y->changes) - (x->changes < y->changes);
    return order != 0 ? order : x->order < y->order ? -1 : x->order > y->order;
}

static bool is_one_rule(const known *a, const known *b) { return strcmp(a->gguf, b->gguf) == 0 && strcmp(a->hf, b->hf) == 0 && a->changes == b->changes; }

/* Several layers, not a weight and its bias alone. */
static bool spans_layers(const known *first, const known *end) {
    for (const known *k = first; k < end; k++)
        if (strcmp(k->own_gguf, first->own_gguf) != 0)
            return true;
    return false;
}

static void put_changes(ls_text *out, unsigned changes) {
    const char *separator = ", change: [";
    for (unsigned i = 0; i < LS_CHANGE_COUNT; i++) {
        if ((changes & 1u << i) == 0)
            continue;
        ls_text_printf(out, "%s%s", separator, ls_weight_change_name(1u << i));
        separator = ", ";
    }
    if (changes != 0)
        ls_text_printf(out, "]");
}

static void put_rule(ls_text *out, const known *first, const known *end) {
    const bool layers = spans_layers(first, end);
    const char *gguf = layers ? first->gguf : first->own_gguf, *hf = layers ? first->hf : first->own_hf;
    double worst = 0;
    for (const known *k = first; k < end; k++)
        worst = k->error > worst ? k->error : worst;
    ls_text_printf(out, "  - {gguf: ");
    ls_text_json(out, gguf, strlen(gguf));
    ls_text_printf(out, ", hf: ");
    ls_text_json(out, hf, strlen(hf));
    put_changes(out, first->changes);
    ls_text_printf(out, "} # %td tensor%s, NMSE at most %.1e\n", end - first, end - first == 1 ? "" : "s", worst);
}

static int by_order(const void *a, const void *b) {
    const known *const *x = a, *const *y = b;
    return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

/* In the order of the candidate's file. */
static bool put_rules(weights *w, ls_text *out) {
    const known **firsts = calloc(w->count + 1, sizeof *firsts), *end = w->items + w->count;
    size_t count = 0;
    if (firsts == NULL)
        return false;
    qsort(w->items, w->count, sizeof *w->items, compare_known);
    for (const known *k = w->items; k < end; k++)
        if (k == w->items || !is_one_rule(k - 1, k))
            firsts[count++] = k;
    qsort(firsts, count, sizeof *firsts, by_order);
    for (size_t i = 0; i < count; i++) {
        const known *last = firsts[i];
        while (last < end && is_one_rule(firsts[i], last))
            last++;
        put_rule(out, firsts[i], last);
    }
    free(firsts);
    return true;
}

bool ls_report_learned_weights(const ls_checkpoint_diff *d, ls_text *out) {
    weights w = {0};
    const int gguf = d->sides[LS_CANDIDATE].gguf ? LS_CANDIDATE : LS_REFERENCE;
    for (size_t i = 0; i < d->weights.pair_count && !w.failed; i++)
        add(&w, d, i, gguf);
    if (w.count > 0 && !w.failed) {
        ls_text_printf(out, "# Which weight of the GGUF file is which of the checkpoint, and what the converter did to it, learned by comparing them.\n");
        if (w.left_out > 0)
            ls_text_printf(out, "# %zu pair%s left out: parts of tensors, and tensors that differ.\n", w.left_out, w.left_out == 1 ? " is" : "s are");
        ls_text_printf(out, "weights:\n");
        w.failed = !put_rules(&w, out);
    }
    const bool done = w.count > 0 && !w.failed && !out->failed;
    out->failed = out->failed || w.failed;
    free(w.items);
    ls_arena_done(&w.arena);
    return done;
}
