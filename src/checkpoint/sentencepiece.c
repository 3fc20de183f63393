/* tokenizer.model (sentencepiece_model.proto), a protocol buffer: fields of a tag
 * (number << 3 | wire type) and a value. Field 1 of ModelProto, which is repeated, is a piece:
 *
 *   1 text    2 float score    3 enum type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
 *
 * The piece types are those of GGUF. All other fields are skipped. */
#include "checkpoint/sentencepiece.h"

#include <string.h>

typedef struct wire {
    const uint8_t *bytes;
    uint64_t size, at, origin;
    const char *file;
} wire;

static lockstep_status bad(const wire *w, const char *expected, lockstep_error *error) {
    return ls_fail_at(error, LOCKSTEP_MALFORMED, w->file, w->origin + w->at, "not a SentencePiece model: expected %s", expected);
}

static lockstep_status read_varint(wire *w, uint64_t *out, lockstep_error *error) {
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->at == w->size)
            return bad(w, "the rest of a number", error);
        uint8_t byte = w->bytes[w->at++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return LOCKSTEP_OK;
    }
    return bad(w, "a number of 64 bits", error);
}

/* Reads a field: *out_body is its bytes, or *out_number its value. */
static lockstep_status read_field(wire *w, uint64_t *out_tag, wire *out_body, uint64_t *out_number, lockstep_error *error) {
    uint64_t length;
    LS_TRY(read_varint(w, out_tag, error));
    *out_number = 0;
    if ((*out_tag & 7) == 0)
        return read_varint(w, out_number, error);
    if ((*out_tag & 7) == 2)
        LS_TRY(read_varint(w, &length, error));
    else
        length = (*out_tag & 7) == 5 ? 4 : (*out_tag & 7) == 1 ? 8 : UINT64_MAX;
    if (length > w->size - w->at)
        return bad(w, "a field that ends within the file", error);
    *out_body = (wire){w->bytes + w->at, length, 0, w->origin + w->at, w->file};
    w->at += length;
    return LOCKSTEP_OK;
}

static lockstep_status read_piece(wire *w, ls_piece *out, lockstep_error *error) {
    *out = (ls_piece){.text = "", .type = 1};
    while (w->at < w->size) {
        uint64_t tag, number;
        wire body;
        LS_TRY(read_field(w, &tag, &body, &number, error));
        if (tag == (1 << 3 | 2))
            out->text = (const char *)body.bytes, out->length = body.size;
        else if (tag == (2 << 3 | 5))
            memcpy(&out->score, body.bytes, sizeof out->score); /* little endian, like this machine */
        else if (tag == (3 << 3 | 0))
            out->type = number;
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_sentencepiece_read(ls_source *source, ls_piece_reader *read, void *context, lockstep_error *error) {
    const uint8_t *bytes;
    LS_TRY(ls_source_bytes(source, &bytes, error));
    wire w = {bytes, source->size, 0, 0, source->name};
    for (uint64_t id = 0; w.at < w.size;) {
        uint64_t tag, number;
        wire body;
        ls_piece piece;
        LS_TRY(read_field(&w, &tag, &body, &number, error));
        if (tag != (1 << 3 | 2))
            continue;
        LS_TRY(read_piece(&body, &piece, error));
        LS_TRY(read(context, id++, &piece, error));
    }
    return LOCKSTEP_OK;
}
