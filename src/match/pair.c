#include "match/pair.h"

const char *ls_method_name(ls_method method) {
#define LS_METHOD_ROW(id, name, function) name,
    static const char *const names[] = {
#include "match/method_table.h"
        "output"};
#undef LS_METHOD_ROW
    return names[method];
}

const char *ls_verdict_name(ls_verdict verdict) {
    static const char *const names[] = {"identical", "match", "reformulated", "diverged", "nonfinite", "shape", "unsupported", "unaligned"};
    return names[verdict];
}
