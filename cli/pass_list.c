#include "pass_list.h"

#include "trace/trace.h"

enum { SHOWN = 24 };

static size_t operations_of(const ls_trace *t, size_t pass) {
    const ls_pass *p = &t->passes[pass];
    size_t count = 0;
    for (size_t i = p->first_node; p->first_node != LS_NONE && i < p->end_node && i < t->node_count; i++)
        count += t->nodes[i].pass == pass && ls_node_is_operation(&t->nodes[i]);
    return count;
}

static void put_rows(const ls_pass *p, ls_text *out) {
    size_t given = 0;
    for (size_t i = 0; p->tokens != NULL && i < p->rows; i++)
        given += p->tokens[i] == LOCKSTEP_NO_TOKEN;
    if (p->tokens == NULL)
        ls_text_printf(out, "no tokens");
    else if (given == p->rows)
        ls_text_printf(out, "%zu row%s of embeddings", p->rows, p->rows == 1 ? "" : "s");
    else
        ls_text_printf(out, "%zu token%s", p->rows, p->rows == 1 ? "" : "s");
    if (p->positions != NULL && p->rows > 0)
        ls_text_printf(out, ", positions %d to %d", p->positions[0], p->positions[p->rows - 1]);
}

void pass_list_put(const char *path, ls_text *out) {
    ls_trace *t;
    if (ls_trace_open(path, &t, NULL) != LOCKSTEP_OK)
        return;
    const bool several = t->is_graph && t->pass_count > 1;
    if (several)
        ls_text_printf(out, "\nforward passes\n");
    for (size_t i = 0; several && i < t->pass_count && i < SHOWN; i++) {
        ls_text_printf(out, "%5zu  ", i);
        put_rows(&t->passes[i], out);
        const size_t operations = operations_of(t, i);
        ls_text_printf(out, ", %zu operation%s\n", operations, operations == 1 ? "" : "s");
    }
    if (several && t->pass_count > SHOWN)
        ls_text_printf(out, "   and %zu more\n", t->pass_count - SHOWN);
    ls_trace_close(t);
}
