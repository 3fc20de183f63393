/* A quantized checkpoint: 4 bytes with the length of config.json, config.json, then a safetensors file. */
#include <stdlib.h>
#include <string.h>

#include "format/formats.h"
#include "format/json_tree.h"
#include "quantized/quantized.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ = 512 };

static void read_some(const ls_view *view, uint64_t first, size_t n) {
    float values[READ], low[READ], high[READ];
    ls_view_read_f32(view, first, n, values);
    ls_view_read_cells(view, first, n, low, high);
}

/* The first elements, and the last. */
static void read_tensor(const lockstep_archive *archive, size_t i) {
    ls_view view;
    lockstep_error error = {0};
    if (ls_archive_view(archive, i, &view, &error) != LOCKSTEP_OK) {
        if (error.message[0] == '\0')
            abort(); /* a failure must have a message */
        return;
    }
    if (view.codes == NULL)
        return;
    const uint64_t elements = ls_view_elements(&view);
    const size_t n = elements < READ ? (size_t)elements : READ;
    read_some(&view, 0, n);
    read_some(&view, elements - n, n);
}

static json_t *read_config(const char *text, size_t size) {
    ls_source *source;
    json_t *config = NULL;
    if (ls_source_open_memory("config.json", text, size, &source, NULL) != LOCKSTEP_OK)
        return NULL;
    if (ls_json_tree(source, &config, NULL) != LOCKSTEP_OK)
        config = NULL;
    ls_source_close(source);
    return config;
}

static void run(const char *copy, size_t size, size_t length) {
    ls_source *source;
    lockstep_archive *archive;
    lockstep_error error = {0};
    if (ls_source_open_memory("fuzz.safetensors", copy + length, size - length, &source, &error) != LOCKSTEP_OK ||
        ls_archive_open_source(source, &ls_format_safetensors, &archive, &error) != LOCKSTEP_OK)
        return;
    json_t *config = read_config(copy, length);
    if (ls_quantized_fold(archive, config, &error) == LOCKSTEP_OK)
        for (size_t i = 0; i < archive->tensor_count; i++)
            read_tensor(archive, i);
    else if (error.message[0] == '\0')
        abort();
    json_decref(config);
    lockstep_archive_close(archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t length;
    if (size < sizeof length)
        return 0;
    memcpy(&length, data, sizeof length);
    size -= sizeof length;
    char *copy = length <= size ? malloc(size + 1) : NULL;
    if (copy == NULL)
        return 0;
    memcpy(copy, data + sizeof length, size);
    run(copy, size, length);
    free(copy);
    return 0;
}
