/* safetensors: a header with the offset of each tensor, then the tensors without gaps.
 * Metadata values must be strings, so only the source's texts are kept. */
#include <string.h>

#include "base/text.h"
#include "convert/conversion.h"
#include "format/formats.h"

static lockstep_dtype holds(lockstep_dtype dtype) {
    return ls_safetensors_name(dtype) != NULL ? dtype : LOCKSTEP_F32;
}

static void put_metadata(ls_text *out, const ls_conversion *c) {
    const lockstep_archive *a = c->archive;
    const char *separator = "";
    ls_text_printf(out, "\"__metadata__\":{");
    if (c->log != NULL) {
        ls_text_printf(out, "\"" LS_TRACE_LOG "\":");
        ls_text_json(out, c->log, (size_t)c->log_size);
        separator = ",";
    }
    for (size_t i = 0; i < a->meta_count; i++) {
        const ls_meta *m = &a->metas[i];
        if (m->kind != LS_META_TEXT || strcmp(m->key, LS_TRACE_LOG) == 0)
            continue;
        ls_text_printf(out, "%s", separator);
        ls_text_json(out, m->key, strlen(m->key));
        ls_text_printf(out, ":");
        ls_text_json(out, m->as.text.bytes, (size_t)m->as.text.length);
        separator = ",";
    }
    ls_text_printf(out, "}");
}

static void put_item(ls_text *out, const ls_item *item, uint64_t offset) {
    char shape[LS_SHAPE_TEXT];
    ls_shape_text(item->rank, item->shape, shape);
    ls_text_printf(out, ",");
    ls_text_json(out, item->name, strlen(item->name));
    ls_text_printf(out, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}", ls_safetensors_name(item->dtype), shape,
                   (unsigned long long)offset, (unsigned long long)(offset + item->bytes));
}

static lockstep_status write_header(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    ls_text header = {0};
    uint64_t offset = 0;
    ls_text_printf(&header, "{");
    put_metadata(&header, c);
    for (size_t i = 0; i < c->count; i++) {
        put_item(&header, &c->items[i], offset);
        offset += c->items[i].bytes;
    }
    ls_text_printf(&header, "}");
    while (!header.failed && header.length % 8 != 0)
        ls_text_append(&header, " ", 1);
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header.length >> 8 * i);
    lockstep_status status = header.failed ? ls_fail_memory(c->archive, error) : ls_sink_write(sink, length, sizeof length, error);
    if (status == LOCKSTEP_OK)
        status = ls_sink_write(sink, header.data, header.length, error);
    ls_text_done(&header);
    return status;
}

static lockstep_status write_safetensors(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    LS_TRY(write_header(c, sink, error));
    for (size_t i = 0; i < c->count; i++)
        LS_TRY(ls_item_write(c, &c->items[i], sink, error));
    return LOCKSTEP_OK;
}

static const char *const suffixes[] = {".safetensors", NULL};
/* Names are keys of the header, one of which is reserved. */
static const char *objection(const ls_conversion *c, const char *name) {
    (void)c;
    return strcmp(name, "__metadata__") == 0 ? "safetensors keeps its metadata under this name" : NULL;
}

const ls_writer ls_writer_safetensors = {"safetensors", suffixes, false, holds, write_safetensors, objection};
