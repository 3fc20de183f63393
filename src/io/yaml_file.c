#include "io/yaml_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "io/source.h"

lockstep_status ls_yaml_bad(const ls_yaml *yaml, const yaml_node_t *at, const char *what) {
    return ls_fail_at(yaml->error, LOCKSTEP_MALFORMED, yaml->file, at != NULL ? at->start_mark.index : 0, "line %zu: %s",
                      at != NULL ? at->start_mark.line + 1 : 1, what);
}

lockstep_status ls_yaml_pair(ls_yaml *yaml, const yaml_node_pair_t *pair, yaml_node_t **out_key, yaml_node_t **out_value) {
    *out_key = yaml_document_get_node(&yaml->document, pair->key);
    *out_value = yaml_document_get_node(&yaml->document, pair->value);
    bool fine = *out_key != NULL && *out_value != NULL && (*out_key)->type == YAML_SCALAR_NODE;
    return fine ? LOCKSTEP_OK : ls_yaml_bad(yaml, *out_key, "keys must be plain words");
}

/* --- measuring a document before it is loaded */

enum { DEEPEST = 64, ALIASED_MOST = 100000 };

typedef struct measuring {
    uint64_t nodes;                    /* so far; an alias counts as all nodes that it stands for */
    uint64_t aliased;                  /* those of them that come from aliases */
    uint64_t start[DEEPEST + 1];       /* nodes before the collection at this depth */
    char *anchors[DEEPEST + 1];        /* of these collections, or NULL */
    int depth;
    ls_map sizes;                      /* an anchor -> its nodes */
} measuring;

static bool keep_size(measuring *m, const char *anchor, uint64_t nodes) {
    uint64_t *at = anchor != NULL ? ls_map_at(&m->sizes, anchor, strlen(anchor)) : NULL;
    if (at != NULL)
        *at = nodes;
    return anchor == NULL || at != NULL;
}

static const char *anchor_of(const yaml_event_t *event) {
    const yaml_char_t *anchor = event->type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
                                : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
                                                                           : event->data.mapping_start.anchor;
    return (const char *)anchor;
}

/* What is wrong with the event; NULL if nothing. */
static const char *measure_event(measuring *m, const yaml_event_t *event) {
    static const char no_memory[] = "out of memory";
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        m->nodes++;
        return keep_size(m, anchor_of(event), 1) ? NULL : no_memory;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (m->depth == DEEPEST)
            return "nested deeper than 64";
        m->start[++m->depth] = m->nodes++;
        m->anchors[m->depth] = anchor_of(event) != NULL ? strdup(anchor_of(event)) : NULL;
        return NULL;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: {
        bool kept = keep_size(m, m->anchors[m->depth], m->nodes - m->start[m->depth]);
        free(m->anchors[m->depth]);
        m->anchors[m->depth--] = NULL;
        return kept ? NULL : no_memory;
    }
    case YAML_ALIAS_EVENT: {
        const uint64_t *size = ls_map_find(&m->sizes, (const char *)event->data.alias.anchor, strlen((const char *)event->data.alias.anchor));
        uint64_t nodes = size != NULL ? *size : 1;
        m->nodes += nodes;
        m->aliased += nodes;
        return m->aliased > ALIASED_MOST ? "its aliases stand for more than 100000 nodes" : NULL;
    }
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return NULL;
}

/* Deep nesting takes quadratic time and much memory to load, and aliases multiply nodes.
 * Malformed documents are left for the loader to report. */
static lockstep_status measure(const char *file, const char *text, size_t size, lockstep_error *error) {
    yaml_parser_t parser;
    measuring m = {0};
    lockstep_status status = LOCKSTEP_OK;
    if (!yaml_parser_initialize(&parser))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    for (bool more = true; more && status == LOCKSTEP_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event))
            break;
        const char *wrong = measure_event(&m, &event);
        if (wrong != NULL)
            status = ls_fail_at(error, LOCKSTEP_LIMIT, file, event.start_mark.index, "line %zu: %s", event.start_mark.line + 1, wrong);
        more = event.type != YAML_STREAM_END_EVENT && event.type != YAML_DOCUMENT_END_EVENT;
        yaml_event_delete(&event);
    }
    while (m.depth > 0)
        free(m.anchors[m.depth--]);
    ls_map_done(&m.sizes);
    yaml_parser_delete(&parser);
    return status;
}

lockstep_status ls_yaml_parse(const char *file, const char *text, size_t size,
                              ls_yaml_reader *read, void *context, lockstep_error *error) {
    ls_yaml yaml = {.file = file, .error = error};
    yaml_parser_t parser;
    LS_TRY(measure(file, text, size, error));
    if (!yaml_parser_initialize(&parser))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    lockstep_status status;
    if (!yaml_parser_load(&parser, &yaml.document)) {
        status = ls_fail_at(error, LOCKSTEP_MALFORMED, file, parser.problem_offset, "line %zu: %s", parser.problem_mark.line + 1,
                            parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        status = read(context, &yaml, yaml_document_get_root_node(&yaml.document));
        yaml_document_delete(&yaml.document);
    }
    yaml_parser_delete(&parser);
    return status;
}

lockstep_status ls_yaml_open(const char *path, uint64_t most, ls_yaml_reader *read, void *context, lockstep_error *error) {
    ls_source *source;
    const uint8_t *bytes = NULL;
    LS_TRY(ls_source_open_file(path, &source, error));
    lockstep_status status = source->size > most ? ls_fail(error, LOCKSTEP_LIMIT, "%s: larger than %llu MiB", path, (unsigned long long)(most >> 20))
                                                 : ls_source_bytes(source, &bytes, error);
    if (status == LOCKSTEP_OK)
        status = ls_yaml_parse(path, (const char *)bytes, (size_t)source->size, read, context, error);
    ls_source_close(source);
    return status;
}
