#include "io/yaml_file.h"

#include "io/source.h"

lockstep_status ls_yaml_bad(const ls_yaml *yaml, const yaml_node_t *at, const char *what) {
    return ls_fail_at(yaml->error, LOCKSTEP_MALFORMED, yaml->file, at != NULL ? at->start_mark.index : 0, "line %zu: %s",
                      at != NULL ? at->start_mark.line + 1 : 1, what);
}

lockstep_status ls_yaml_pair(ls_yaml *yaml, const yaml_node_pair_t *pair, yaml_node_t **out_key, yaml_node_t **out_value) {
    *out_key = yaml_document_get_node(&yaml->document, pair->key);
    *out_value = yaml_document_get_node(&yaml->document, pair->value);
    bool fine = *out_key != NULL && *out_value != NULL && (*out_key)->type == YAML_SCALAR_NODE;
    return fine ? LOCKSTEP_OK : ls_yaml_bad(yaml, *out_key, "keys are plain words");
}

lockstep_status ls_yaml_parse(const char *file, const char *text, size_t size,
                              ls_yaml_reader *read, void *context, lockstep_error *error) {
    ls_yaml yaml = {.file = file, .error = error};
    yaml_parser_t parser;
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
