#include "report/titles.h"

#include <stdio.h>
#include <string.h>

#include "base/escape.h"

enum { NAME = 300, OP = 80 };

void ls_report_title(const ls_node *n, char *out, size_t capacity) {
    char name[NAME], op[OP];
    ls_escape(n->name, strlen(n->name), name, sizeof name);
    ls_escape(n->op, strlen(n->op), op, sizeof op);
    if (n->op[0] == '\0' || (n->name[0] != '\0' && n->name[strlen(n->name) - 1] == ')'))
        snprintf(out, capacity, "%s", name);
    else if (n->occurrence > 0)
        snprintf(out, capacity, "%s (%s #%u)", name, op, n->occurrence);
    else
        snprintf(out, capacity, "%s (%s)", name, op);
}

void ls_report_reference_title(const ls_node *n, char *out, size_t capacity) {
    char name[NAME];
    ls_escape(n->name, strlen(n->name), name, sizeof name);
    if (n->occurrence > 0)
        snprintf(out, capacity, "%s #%u", name, n->occurrence);
    else
        snprintf(out, capacity, "%s", name);
}
