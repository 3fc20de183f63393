#include "report/titles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

/* Of a text that is too long, both ends: names of neighbors often differ only at the end. */
static void put_ends(const char *text, size_t length, char *out, size_t capacity) {
    const char gap[] = "…";
    size_t used = ls_escape(text, length, out, capacity / 3), last = length - (capacity - capacity / 3 - sizeof gap) / LS_LONGEST_ESCAPE;
    while (last < length && ((unsigned char)text[last] & 0xc0) == 0x80)
        last++;
    used += (size_t)snprintf(out + used, capacity - used, "%s", gap);
    ls_escape(text + last, length - last, out + used, capacity - used);
}

void ls_title_text(const char *text, char *out, size_t capacity) {
    const size_t length = strlen(text), most = LS_LONGEST_ESCAPE * length + 1;
    char *all = most > capacity ? malloc(most) : NULL;
    if (all != NULL && ls_escape(text, length, all, most) >= capacity)
        put_ends(text, length, out, capacity);
    else
        ls_escape(text, length, out, capacity);
    free(all);
}

void ls_report_title(const ls_node *n, char *out, size_t capacity) {
    char name[300], op[80];
    ls_title_text(n->name, name, sizeof name);
    ls_title_text(ls_node_work(n), op, sizeof op);
    if (n->op[0] == '\0' || (n->name[0] != '\0' && n->name[strlen(n->name) - 1] == ')'))
        snprintf(out, capacity, "%s", name);
    else if (n->occurrence > 0)
        snprintf(out, capacity, "%s (%s #%u)", name, op, n->occurrence);
    else
        snprintf(out, capacity, "%s (%s)", name, op);
}

void ls_report_reference_title(const ls_node *n, char *out, size_t capacity) {
    char name[300];
    ls_title_text(n->name, name, sizeof name);
    if (n->occurrence > 0)
        snprintf(out, capacity, "%s #%u", name, n->occurrence);
    else
        snprintf(out, capacity, "%s", name);
}
