#include "tensor/value_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t ls_value_text(double value, bool narrow, char out[LS_VALUE_TEXT]) {
    if (!isfinite(value))
        return (size_t)snprintf(out, LS_VALUE_TEXT, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    int length = 0, most = narrow ? 9 : 17; /* digits that are always enough */
    for (int digits = narrow ? 6 : 15; digits <= most; digits++) {
        length = snprintf(out, LS_VALUE_TEXT, "%.*g", digits, value);
        if (narrow ? strtof(out, NULL) == (float)value : strtod(out, NULL) == value)
            break;
    }
    return (size_t)length;
}

void ls_value_json(ls_text *text, double value) {
    char number[LS_VALUE_TEXT];
    size_t length = ls_value_text(value, false, number);
    ls_text_printf(text, isfinite(value) ? "%.*s" : "\"%.*s\"", (int)length, number);
}

void ls_stats_json(ls_text *text, const ls_stats *stats) {
    const struct {
        const char *name;
        double value;
    } fields[] = {{"min", stats->min}, {"max", stats->max}, {"mean", stats->mean},
                  {"std", stats->std}, {"l2", stats->l2}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        ls_text_printf(text, "%c\"%s\":", i == 0 ? '{' : ',', fields[i].name);
        ls_value_json(text, fields[i].value);
    }
    ls_text_printf(text, ",\"nan\":%llu,\"inf\":%llu,\"zeros\":%llu}", (unsigned long long)stats->nan,
                   (unsigned long long)stats->inf, (unsigned long long)stats->zeros);
}

void ls_stats_text(ls_text *text, const ls_stats *stats, const char *indent) {
    ls_text_printf(text, "%smin %.6g  max %.6g  mean %.6g  std %.6g\n", indent, stats->min, stats->max,
                   stats->mean, stats->std);
    ls_text_printf(text, "%sl2 %.6g  nan %llu  inf %llu  zeros %llu of %llu\n", indent, stats->l2,
                   (unsigned long long)stats->nan, (unsigned long long)stats->inf,
                   (unsigned long long)stats->zeros, (unsigned long long)stats->elements);
}

void ls_shape_json(ls_text *text, int rank, const uint64_t *shape) {
    char out[LS_SHAPE_TEXT];
    ls_shape_text(rank, shape, out);
    ls_text_append(text, out, strlen(out));
}
