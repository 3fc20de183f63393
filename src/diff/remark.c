#include "diff/remark.h"

#include <stdlib.h>

#include "base/grow.h"

void ls_remarks_add(ls_remarks *r, const ls_remark *remark) {
    r->failed = r->failed || !ls_grow((void **)&r->items, r->count, &r->capacity, sizeof *r->items);
    if (!r->failed)
        r->items[r->count++] = *remark;
}

void ls_remarks_done(ls_remarks *r) {
    free(r->items);
    *r = (ls_remarks){0};
}
