#include "match/pair.h"

const char *ls_method_name(ls_method method) {
    static const char *const names[] = {"map", "name", "preset", "elimination", "content", "place", "output"};
    return names[method];
}

const char *ls_verdict_name(ls_verdict verdict) {
    static const char *const names[] = {"identical", "match", "reformulated", "diverged", "nonfinite", "shape", "unsupported", "unaligned"};
    return names[verdict];
}
