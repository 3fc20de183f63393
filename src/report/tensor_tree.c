#include "report/tensor_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "report/table.h"
#include "report/titles.h"
#include "tensor/value_text.h"

enum { DEEPEST = 24 };

typedef struct module {
    const char *name; /* a part of tensors' names; not terminated */
    size_t length;
    size_t first, last, next; /* children, and the next sibling: indexes; 0 for none */
    size_t tensor;            /* + 1; 0: it is only a module */
    size_t count;             /* of tensors in it */
    uint64_t bytes;
} module;

typedef struct tree {
    const lockstep_archive *archive;
    module *modules; /* the first is the root */
    size_t count;
    ls_map children; /* parent and name -> index */
    ls_table table;
} tree;

/* ------------------------------------------------------------------ building */

static size_t new_child(tree *t, size_t parent, const char *name, size_t length) {
    const size_t child = t->count++;
    t->modules[child] = (module){.name = name, .length = length};
    if (t->modules[parent].last != 0)
        t->modules[t->modules[parent].last].next = child;
    else
        t->modules[parent].first = child;
    return t->modules[parent].last = child;
}

/* 0 if out of memory. */
static size_t child_of(tree *t, size_t parent, const char *name, size_t length) {
    ls_text key = {0};
    ls_text_printf(&key, "%zu.", parent);
    ls_text_append(&key, name, length);
    uint64_t *known = key.failed ? NULL : ls_map_at(&t->children, key.data, key.length);
    ls_text_done(&key);
    if (known != NULL && *known == 0)
        *known = new_child(t, parent, name, length);
    return known != NULL ? (size_t)*known : 0;
}

/* False if out of memory. */
static bool add_tensor(tree *t, size_t tensor) {
    const ls_tensor *item = &t->archive->tensors[tensor];
    const char *name = item->name;
    size_t at = 0;
    for (int depth = 0;; depth++) {
        t->modules[at].count++;
        t->modules[at].bytes += item->bytes;
        const size_t length = depth < DEEPEST ? strcspn(name, "./") : strlen(name);
        const bool is_last = name[length] == '\0';
        const size_t parent = at;
        at = child_of(t, parent, name, length);
        if (at != 0 && is_last && t->modules[at].tensor != 0) /* another one of this name */
            at = new_child(t, parent, name, length);
        if (at == 0)
            return false;
        if (is_last)
            break;
        name += length + 1;
    }
    t->modules[at].count++;
    t->modules[at].bytes += item->bytes;
    t->modules[at].tensor = tensor + 1;
    return true;
}

/* No more than one module for each part of a name. */
static size_t count_parts(const lockstep_archive *archive) {
    size_t count = 1;
    for (size_t i = 0; i < archive->tensor_count; i++) {
        count++;
        for (const char *c = archive->tensors[i].name; *c != '\0'; c++)
            count += *c == '.' || *c == '/';
    }
    return count;
}

/* ------------------------------------------------------------------ what is alike */

static bool is_number(const module *m) {
    for (size_t i = 0; i < m->length; i++)
        if (m->name[i] < '0' || m->name[i] > '9')
            return false;
    return m->length > 0;
}

static bool are_tensors_alike(const ls_tensor *a, const ls_tensor *b) {
    return strcmp(a->file_dtype, b->file_dtype) == 0 && a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

static bool is_same_name(const module *a, const module *b) { return a->length == b->length && memcmp(a->name, b->name, a->length) == 0; }

/* The same tensors under the same names, of the same types and shapes. */
static bool are_alike(const tree *t, const module *a, const module *b) {
    if (a->count != b->count || a->bytes != b->bytes || (a->tensor == 0) != (b->tensor == 0))
        return false;
    if (a->tensor != 0 && !are_tensors_alike(&t->archive->tensors[a->tensor - 1], &t->archive->tensors[b->tensor - 1]))
        return false;
    size_t x = a->first, y = b->first;
    for (; x != 0 && y != 0; x = t->modules[x].next, y = t->modules[y].next)
        if (!is_same_name(&t->modules[x], &t->modules[y]) || !are_alike(t, &t->modules[x], &t->modules[y]))
            return false;
    return x == y;
}

/* ------------------------------------------------------------------ rows */

static void size_text(uint64_t bytes, char out[32]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        size /= 1000;
    snprintf(out, 32, unit == 0 || size >= 99.95 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}

static void add_row(tree *t, int depth, const char *name, size_t tensors, uint64_t bytes, const ls_tensor *tensor) {
    char title[LS_TITLE], indented[LS_TITLE + 2 * DEEPEST + 4], count[32] = "", size[32], shape[LS_SHAPE_TEXT] = "", dtype[80] = "";
    ls_title_text(name, title, sizeof title);
    snprintf(indented, sizeof indented, "%*s%s", 2 * depth, "", title);
    size_text(bytes, size);
    if (tensor != NULL) {
        ls_shape_text(tensor->rank, tensor->shape, shape);
        ls_title_text(tensor->file_dtype, dtype, sizeof dtype);
    } else {
        snprintf(count, sizeof count, "%zu", tensors);
    }
    const char *cells[] = {indented, count, size, dtype, shape};
    ls_table_add(&t->table, "", cells);
}

static void put_children(tree *t, size_t parent, int depth);

/* A module with a single child shares its line. */
static void put_module(tree *t, size_t index, int depth) {
    ls_text name = {0};
    const module *m = &t->modules[index];
    ls_text_append(&name, m->name, m->length);
    while (m->tensor == 0 && m->first != 0 && m->first == m->last) {
        m = &t->modules[m->first];
        ls_text_append(&name, m->name - 1, 1); /* what parts the two */
        ls_text_append(&name, m->name, m->length);
    }
    add_row(t, depth, name.data != NULL ? name.data : "", m->count, m->tensor != 0 ? t->archive->tensors[m->tensor - 1].bytes : m->bytes, m->tensor != 0 ? &t->archive->tensors[m->tensor - 1] : NULL);
    ls_text_done(&name);
    put_children(t, (size_t)(m - t->modules), depth + 1);
}

static void name_alike(const module *from, const module *to, const module *model, char out[LS_TITLE]) {
    enum { DIGITS = 40 };
    const int sizes[] = {(int)(from->length < DIGITS ? from->length : DIGITS), (int)(to->length < DIGITS ? to->length : DIGITS), (int)(model->length < DIGITS ? model->length : DIGITS)};
    if (from == to)
        snprintf(out, LS_TITLE, "%.*s, like %.*s", sizes[0], from->name, sizes[2], model->name);
    else
        snprintf(out, LS_TITLE, "%.*s–%.*s, each like %.*s", sizes[0], from->name, sizes[1], to->name, sizes[2], model->name);
}

/* Numbered siblings that are built as the one before them. Returns the last of them. */
static size_t put_alike(tree *t, size_t model, int depth) {
    size_t last = model, modules = 0, tensors = 0;
    uint64_t bytes = 0;
    const module *m = &t->modules[model];
    for (size_t i = m->next; i != 0 && is_number(&t->modules[i]) && are_alike(t, m, &t->modules[i]); i = t->modules[i].next) {
        last = i;
        modules++;
        tensors += t->modules[i].count;
        bytes += t->modules[i].bytes;
    }
    if (modules > 0) {
        char name[LS_TITLE];
        name_alike(&t->modules[m->next], &t->modules[last], m, name);
        add_row(t, depth, name, tensors, bytes, NULL);
    }
    return last;
}

static void put_children(tree *t, size_t parent, int depth) {
    for (size_t i = t->modules[parent].first; i != 0; i = t->modules[i].next) {
        put_module(t, i, depth);
        if (is_number(&t->modules[i]))
            i = put_alike(t, i, depth);
    }
}

lockstep_status ls_put_tensor_tree(const ls_screen *screen, const lockstep_archive *archive, ls_text *out, lockstep_error *error) {
    static const ls_column columns[] = {{"module", 0, true, false}, {"tensors", 0, false, true}, {"size", 0, false, true}, {"dtype", 0, false, false}, {"shape", 1, false, false}, {0}};
    tree t = {.archive = archive, .modules = calloc(count_parts(archive) + 1, sizeof *t.modules), .count = 1};
    ls_text lines = {0};
    bool ok = t.modules != NULL;
    for (size_t i = 0; i < archive->tensor_count && ok; i++)
        ok = add_tensor(&t, i);
    ls_table_init(&t.table, screen, columns);
    if (ok)
        put_children(&t, 0, 0);
    ls_table_finish(&t.table, &lines);
    ok = ok && !lines.failed;
    if (ok)
        ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
    ls_map_done(&t.children);
    free(t.modules);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", archive->path);
}
