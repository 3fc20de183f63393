/* Reads pickles as data, with a machine that only builds nodes. No global is imported or
 * called: those that the caller lists become nodes, and any other is an error. */
#ifndef LS_FORMAT_PICKLE_H
#define LS_FORMAT_PICKLE_H

#include "base/arena.h"
#include "io/source.h"

typedef enum ls_pickle_role {
    LS_PICKLE_VALUE,    /* a class or a constant: never called */
    LS_PICKLE_FUNCTION, /* calls of it become LS_PICKLE_CALL */
    LS_PICKLE_NEW_DICT  /* calls of it without arguments become an empty dict */
} ls_pickle_role;

typedef struct ls_pickle_global {
    const char *name; /* "module.name" */
    ls_pickle_role role;
    int tag; /* for the caller */
} ls_pickle_global;

typedef enum ls_pickle_kind {
    LS_PICKLE_NONE,
    LS_PICKLE_BOOL,
    LS_PICKLE_INT,
    LS_PICKLE_UINT, /* beyond the signed range */
    LS_PICKLE_FLOAT,
    LS_PICKLE_TEXT,
    LS_PICKLE_TUPLE,
    LS_PICKLE_LIST,
    LS_PICKLE_DICT, /* items: key, value, key, value, … in the file's order */
    LS_PICKLE_GLOBAL,
    LS_PICKLE_CALL,
    LS_PICKLE_PERSISTENT
} ls_pickle_kind;

typedef struct ls_pickle_node {
    uint8_t kind;
    bool has_state; /* a dict from LS_PICKLE_NEW_DICT, which may get attributes */
    bool entered;   /* for walks: the graph may have cycles */
    uint32_t where; /* offset of the opcode that made it */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        struct { const char *bytes; uint32_t length; } text; /* in the source; not checked to be UTF-8 */
        struct { struct ls_pickle_node **items; uint32_t count, capacity; } list;
        const ls_pickle_global *global;
        struct { const ls_pickle_global *function; const struct ls_pickle_node *arguments; } call;
        const struct ls_pickle_node *persistent; /* a tuple */
    } as;
} ls_pickle_node;

/* The longest pickle that is read; typical ones have 150 bytes per tensor. */
enum { LS_PICKLE_LIMIT = 64 << 20 };

/* Reads a whole source as one pickle of protocol 2, with at most `node_limit`
 * nodes. Nodes are allocated in the arena. `globals` ends with a row without a name. */
lockstep_status ls_pickle_read(ls_source *source, const ls_pickle_global *globals,
                               uint64_t node_limit, ls_arena *arena, ls_pickle_node **out_root,
                               lockstep_error *error);

/* "a dict", "an int", … for messages. */
const char *ls_pickle_kind_text(const ls_pickle_node *node);

#endif
