/* How the two tensors of a pair were found: a row of method_table.h, or one of those that need more than names. */
#ifndef LS_MATCH_METHOD_H
#define LS_MATCH_METHOD_H

#define LS_METHOD_ROW(id, ...) LS_METHOD_##id,
typedef enum ls_method {
#include "match/method_table.h"
    LS_METHOD_CONTENT,  /* they hold the same values (match_by_values.h) */
    LS_METHOD_INFERRED, /* the closest to each other of those behind a fault */
    LS_METHOD_PLACE,    /* the same place of files whose tensors have only numbers */
    LS_METHOD_REPLAY, /* the candidate's operation gives the reference's values when it is computed from them (replay/) */
    LS_METHOD_OUTPUT, /* both are the final output of their pass (diff/outputs.h) */
    LS_METHOD_COUNT
} ls_method;
#undef LS_METHOD_ROW

const char *ls_method_name(ls_method method);

#endif
