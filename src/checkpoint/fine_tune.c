#include "checkpoint/fine_tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "checkpoint/model_parts.h"

enum { LEAST = 5 };

bool ls_is_tuned(const ls_weight_pair *p) {
    const double alike = 0.9;
    bool differs = p->verdict == LS_VERDICT_DIFFERS || p->verdict == LS_VERDICT_WORSE;
    return differs && !ls_weight_has_cause(p) && p->region[0] == '\0' && p->metrics.elements > 1 && p->metrics.cosine > alike;
}

bool ls_is_fine_tune(const ls_weights *w) {
    size_t tuned = 0, failing = 0;
    for (size_t i = 0; i < w->pair_count; i++) {
        bool fails = w->pairs[i].verdict == LS_VERDICT_DIFFERS || w->pairs[i].verdict == LS_VERDICT_WORSE || w->pairs[i].verdict == LS_VERDICT_NONFINITE;
        failing += fails;
        tuned += ls_is_tuned(&w->pairs[i]);
    }
    return tuned >= LEAST && 4 * tuned >= 3 * failing;
}

static const char *name_of(const ls_weights *w, size_t i) {
    return w->sides[LS_CANDIDATE]->archive->tensors[w->pairs[i].part[LS_CANDIDATE].tensor].name;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void put_modules(const ls_weights *w, ls_text *out) {
    static const char *const modules[] = {"attention", "mlp", "norms", "embeddings", "others"};
    const char *separator = "";
    for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
        size_t tuned = 0, all = 0;
        for (size_t i = 0; i < w->pair_count; i++) {
            bool here = strcmp(ls_model_module_of(name_of(w, i)), modules[m]) == 0;
            all += here;
            tuned += here && ls_is_tuned(&w->pairs[i]);
        }
        if (tuned > 0) {
            ls_text_printf(out, "%s%s %zu of %zu", separator, modules[m], tuned, all);
            separator = ", ";
        }
    }
}

static void put_changes(const ls_weights *w, ls_text *out) {
    double *changes = calloc(w->pair_count + 1, sizeof *changes);
    size_t count = 0, largest = SIZE_MAX;
    for (size_t i = 0; i < w->pair_count && changes != NULL; i++)
        if (ls_is_tuned(&w->pairs[i])) {
            changes[count++] = sqrt(w->pairs[i].metrics.nmse);
            if (largest == SIZE_MAX || w->pairs[i].metrics.nmse > w->pairs[largest].metrics.nmse)
                largest = i;
        }
    if (count > 0) {
        char name[200];
        qsort(changes, count, sizeof *changes, by_value);
        ls_escape(name_of(w, largest), strlen(name_of(w, largest)), name, sizeof name);
        ls_text_printf(out, "; relative L2 of the change: median %.1e, largest %.1e (%s)", changes[count / 2], changes[count - 1], name);
    }
    free(changes);
}

void ls_fine_tune_describe(const ls_weights *w, ls_text *out) {
    size_t tuned = 0;
    long first = -1, last = -1;
    for (size_t i = 0; i < w->pair_count; i++) {
        long layer = ls_weight_layer(name_of(w, i));
        if (!ls_is_tuned(&w->pairs[i]))
            continue;
        tuned++;
        first = layer >= 0 && (first < 0 || layer < first) ? layer : first;
        last = layer > last ? layer : last;
    }
    ls_text_printf(out, "%zu of %zu tensors differ a little everywhere (cosine above 0.9), as after further training of the same model: ", tuned, w->pair_count);
    put_modules(w, out);
    if (first >= 0)
        ls_text_printf(out, first == last ? "; layer %ld" : "; layers %ld to %ld", first, last);
    put_changes(w, out);
}
