#include "compare/verdict.h"

const char *ls_verdict_name(ls_verdict verdict) {
    static const char *const names[LS_VERDICT_COUNT] = {"identical", "match", "explained", "worse", "differs", "diverged", "nonfinite", "shape", "unsupported", "unaligned"};
    return names[verdict];
}
