#include "match/method.h"

const char *ls_method_name(ls_method method) {
#define LS_METHOD_ROW(id, name, function) name,
    static const char *const names[] = {
#include "match/method_table.h"
        "content", "inferred", "place", "replay", "output"};
#undef LS_METHOD_ROW
    return names[method];
}
