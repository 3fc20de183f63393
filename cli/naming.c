#include "base/pattern.h"
#include "naming.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Our names contain spaces and parentheses. */
static const char *plain(ls_arena *arena, const char *name) {
    char *copy = ls_arena_printf(arena, "%s", name);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            *c = '_';
    return copy;
}

/* The first later node of which this one is a source, directly or through views; *index: which source. */
static size_t consumer(const ls_trace *t, size_t node, size_t *index) {
    for (size_t i = node + 1; i < t->node_count; i++)
        for (size_t k = 0; k < t->nodes[i].source_count; k++)
            if (t->nodes[i].sources[k] == node) {
                *index = k;
                if (t->nodes[i].role != LOCKSTEP_ROLE_VIEW || t->nodes[i].file != NULL)
                    return i;
                node = i; /* a view: look for its readers */
                break;
            }
    return LS_NONE;
}

static const char *name_of(ls_arena *arena, const ls_trace *t, size_t node, const regex_t *roots) {
    const ls_node *n = &t->nodes[node];
    size_t index = 0, pass = n->pass == LS_NONE ? 0 : n->pass;
    const char *name = plain(arena, n->name);
    if (name == NULL)
        return NULL;
    if (regexec(roots, n->name, 0, NULL, 0) == 0)
        return n->occurrence > 0 ? ls_arena_printf(arena, "kqv_out_%s_%u_step_%zu", name, n->occurrence, pass)
                                 : ls_arena_printf(arena, "kqv_out_%s_step_%zu", name, pass);
    if (consumer(t, node, &index) == LS_NONE)
        return NULL;
    return n->occurrence > 0 ? ls_arena_printf(arena, "src%zu_%s_%u_step_%zu", index, name, n->occurrence, pass)
                             : ls_arena_printf(arena, "src%zu_%s_step_%zu", index, name, pass);
}

lockstep_status naming_kqv_trace(const char *trace, const char *tensors, const char *layers, bool sources, naming *out_naming,
                                 lockstep_error *error) {
    static const char description[] = "KQV output trace from llama.cpp inference";
    naming n = {0};
    regex_t roots;
    ls_trace *t;
    if (!ls_pattern_compile(tensors != NULL ? tensors : "^kqv_out", &roots))
        return ls_pattern_refused(error, "--tensors", tensors);
    lockstep_status status = ls_trace_open(trace, &t, error);
    if (status != LOCKSTEP_OK) {
        regfree(&roots);
        return status;
    }
    n.names = ls_arena_array(&n.arena, t->node_count + 1, sizeof *n.names);
    size_t at = 0, count = 0;
    for (size_t i = 0; n.names != NULL && i < t->node_count; i++)
        if (t->nodes[i].file != NULL) { /* the archive has these, in this order */
            n.names[at] = name_of(&n.arena, t, i, &roots);
            count += n.names[at++] != NULL;
        }
    bool one_layer = layers != NULL && strspn(layers, "0123456789") == strlen(layers);
    const ls_meta metas[5] = {
        {.key = NAMING_MARK, .kind = LS_META_TEXT, .as.text = {description, sizeof description - 1}},
        {.key = "kqv_trace.total_steps", .kind = LS_META_INT, .as.i = (int64_t)t->pass_count},
        {.key = "kqv_trace.target_layer", .kind = LS_META_INT, .as.i = one_layer ? strtol(layers, NULL, 10) : -1},
        {.key = "kqv_trace.trace_sources", .kind = LS_META_BOOL, .as.b = sources},
        {.key = "kqv_trace.tensor_count", .kind = LS_META_INT, .as.i = (int64_t)count}};
    memcpy(n.metas, metas, sizeof metas);
    ls_trace_close(t);
    regfree(&roots);
    if (n.names == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    *out_naming = n;
    return LOCKSTEP_OK;
}

void naming_done(naming *n) { ls_arena_done(&n->arena); }
