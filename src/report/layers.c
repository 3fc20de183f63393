#include "report/layers.h"

#include "diff/affected_layers.h"

/* "0, 4-5" */
static void put_ranges(const ls_affected_layers *e, ls_text *out) {
    const char *separator = "";
    for (size_t i = 0; i < e->layers; i++) {
        size_t last = i;
        if (!e->at_fault[i])
            continue;
        while (last + 1 < e->layers && e->at_fault[last + 1])
            last++;
        ls_text_printf(out, last > i ? "%s%zu-%zu" : "%s%zu", separator, i, last);
        separator = ", ";
        i = last;
    }
}

void ls_report_layers(const ls_diff *d, const ls_replayed *item, ls_text *out) {
    ls_affected_layers e;
    if (item == NULL || !item->is_origin || !ls_affected_layers_find(d, item, &e))
        return;
    if (e.faulty > 1 && e.faulty == e.total) {
        ls_text_printf(out, "in all %zu layers", e.total);
    } else if (e.faulty > 1) {
        ls_text_printf(out, "in %zu of %zu layers: ", e.faulty, e.total);
        put_ranges(&e, out);
    }
    ls_affected_layers_done(&e);
}

json_t *ls_report_layers_json(const ls_diff *d, const ls_replayed *item) {
    ls_affected_layers e;
    if (item == NULL || !item->is_origin || !ls_affected_layers_find(d, item, &e))
        return json_null();
    json_t *layers = json_array();
    for (size_t i = 0; i < e.layers; i++)
        if (e.at_fault[i])
            json_array_append_new(layers, json_integer((json_int_t)i));
    json_t *o = e.layers > 0 ? json_pack("{s:O, s:i}", "at_fault", layers, "of", (int)e.total) : json_null();
    json_decref(layers);
    ls_affected_layers_done(&e);
    return o;
}
