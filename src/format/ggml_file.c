/* Models of whisper.cpp, in ggml's format from before GGUF (whisper_model_load and
 * whisper_vad_init_with_params in its src/whisper.cpp); packed, little endian:
 *
 *   magic u32, 0x67676d6c: the bytes 'lmgg'
 *   header of a Whisper:
 *       10 hyperparameters i32 (whisper_numbers and n_mels), and ftype + 1000 * qntvr, the
 *           version of ggml's quantization
 *       mel filters: n_mel i32 (equal to n_mels), n_fft i32, f32[n_mel][n_fft]
 *       vocabulary: count i32, then for each token its length u32 and its bytes
 *   or header of a voice activity detector:
 *       type: length i32 and text, such as "silero-16k"
 *       version: major, minor, patch i32;  n_window i32  n_context i32
 *       encoder layers: count i32, then for each its input channels, output channels and
 *           kernel size i32
 *       4 hyperparameters i32 (vad_numbers)
 *   tensors, up to the end of the file:
 *       axes i32, length of the name i32, type i32 (as in GGUF), sizes i32 innermost first,
 *       name, data
 *
 * Both headers follow the same magic. A detector's has a short printable text, where a
 * Whisper's has small numbers, whose high bytes are 0. Files of other programs begin with
 * the same magic, too, and have other headers. */
#include <inttypes.h>
#include <string.h>

#include "base/cursor.h"
#include "format/formats.h"
#include "format/ggml_types.h"

enum {
    MAGIC = 0x67676d6c,
    MAX_AXES = 4, /* GGML_MAX_DIMS */
    MAX_NAME = 255,
    MAX_TYPE = 63,
    LAYER_BYTES = 3 * 4,
    VERSION_FACTOR = 1000, /* GGML_QNT_VERSION_FACTOR */
    ANY_VERSION = -1,      /* a detector's file has none */
};

typedef struct reader {
    lockstep_archive *archive;
    ls_source *source;
    ls_cursor cursor;
    int quantization_version;
} reader;

/* Reads an i32 that may not be negative. */
static lockstep_status read_number(ls_cursor *c, const char *what, uint32_t *out, lockstep_error *error) {
    uint64_t at = ls_cursor_offset(c);
    LS_TRY(ls_cursor_u32(c, what, out, error));
    if (*out > INT32_MAX)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, at, "%s: found %" PRId32 ", expected at least 0",
                          what, (int32_t)*out);
    return LOCKSTEP_OK;
}

/* --- metadata */

static lockstep_status add_meta(reader *r, ls_meta meta, lockstep_error *error) {
    return ls_archive_add_meta(r->archive, &meta, r->source, ls_cursor_offset(&r->cursor), error);
}

static lockstep_status add_number(reader *r, const char *key, uint64_t value, lockstep_error *error) {
    return add_meta(r, (ls_meta){.key = key, .kind = LS_META_UINT, .as.u = value}, error);
}

static lockstep_status add_text(reader *r, const char *key, const char *text, uint64_t length,
                                lockstep_error *error) {
    return add_meta(r, (ls_meta){.key = key, .kind = LS_META_TEXT, .as.text = {text, length}}, error);
}

/* Adds an array of numbers of 4 bytes, as in the file. */
static lockstep_status add_array(reader *r, const char *key, ls_meta_kind kind, uint64_t count,
                                 const uint8_t *bytes, lockstep_error *error) {
    ls_meta meta = {.key = key, .kind = LS_META_ARRAY};
    meta.as.array.kind = kind;
    meta.as.array.width = 4;
    meta.as.array.count = count;
    meta.as.array.bytes = bytes;
    return add_meta(r, meta, error);
}

/* Reads a number that becomes metadata. */
static lockstep_status read_key(reader *r, const char *key, uint32_t *out, lockstep_error *error) {
    LS_TRY(read_number(&r->cursor, key, out, error));
    return add_number(r, key, *out, error);
}

/* Reads numbers in the order of their keys, which end with a NULL. */
static lockstep_status read_keys(reader *r, const char *const *keys, lockstep_error *error) {
    uint32_t number;
    for (const char *const *key = keys; *key != NULL; key++)
        LS_TRY(read_key(r, *key, &number, error));
    return LOCKSTEP_OK;
}

/* --- header of a Whisper */

/* As in whisper_hparams. n_mels and ftype follow. */
static const char *const whisper_numbers[] = {
    "n_vocab",    "n_audio_ctx",  "n_audio_state", "n_audio_head", "n_audio_layer",
    "n_text_ctx", "n_text_state", "n_text_head",   "n_text_layer", NULL,
};

static lockstep_status read_ftype(reader *r, lockstep_error *error) {
    uint32_t value;
    LS_TRY(read_number(&r->cursor, "ftype", &value, error));
    r->quantization_version = (int)(value / VERSION_FACTOR);
    LS_TRY(add_number(r, "ftype", value % VERSION_FACTOR, error));
    return add_number(r, "qntvr", value / VERSION_FACTOR, error);
}

static lockstep_status read_filters(reader *r, uint32_t n_mels, lockstep_error *error) {
    ls_cursor *c = &r->cursor;
    uint64_t at = ls_cursor_offset(c);
    uint32_t rows, columns;
    const uint8_t *values;
    LS_TRY(read_key(r, "filters.n_mel", &rows, error));
    if (rows != n_mels)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, c->file, at,
                          "found %" PRIu32 " mel filters, expected n_mels = %" PRIu32 " (is this a model of whisper.cpp?)",
                          rows, n_mels);
    LS_TRY(read_key(r, "filters.n_fft", &columns, error));
    uint64_t count = (uint64_t)rows * columns; /* of 31 bits each */
    LS_TRY(ls_cursor_bytes(c, count * 4, "filters.data", &values, error));
    return add_array(r, "filters.data", LS_META_FLOAT, count, values, error);
}

static lockstep_status read_vocabulary(reader *r, lockstep_error *error) {
    ls_cursor *c = &r->cursor;
    uint64_t at = ls_cursor_offset(c);
    uint32_t count;
    LS_TRY(read_number(c, "size of the vocabulary", &count, error));
    if (count > ls_cursor_left(c) / 4)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, at,
                          "found a vocabulary of %" PRIu32 " tokens, expected at most %" PRIu64
                          " in the %" PRIu64 " bytes left",
                          count, ls_cursor_left(c) / 4, ls_cursor_left(c));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length;
        const uint8_t *text;
        LS_TRY(ls_cursor_u32(c, "length of a token", &length, error));
        LS_TRY(ls_cursor_bytes(c, length, "token", &text, error));
    }
    return add_number(r, "vocab.size", count, error);
}

static lockstep_status read_whisper(reader *r, lockstep_error *error) {
    uint32_t n_mels;
    LS_TRY(read_keys(r, whisper_numbers, error));
    LS_TRY(read_key(r, "n_mels", &n_mels, error));
    LS_TRY(read_ftype(r, error));
    LS_TRY(read_filters(r, n_mels, error));
    return read_vocabulary(r, error);
}

/* --- header of a voice activity detector */

static const char *const vad_numbers[] = {"lstm_input_size", "lstm_hidden_size", "final_conv_in", "final_conv_out", NULL};

/* Whether a short printable text follows, after its length. */
static bool is_vad(ls_cursor c) {
    uint32_t length;
    const uint8_t *text;
    if (ls_cursor_u32(&c, "", &length, NULL) != LOCKSTEP_OK || length == 0 || length > MAX_TYPE ||
        ls_cursor_bytes(&c, length, "", &text, NULL) != LOCKSTEP_OK)
        return false;
    for (uint32_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

static lockstep_status read_type(reader *r, lockstep_error *error) {
    static const char known[] = "silero";
    ls_cursor *c = &r->cursor;
    uint32_t length;
    const uint8_t *text;
    LS_TRY(read_number(c, "length of the type", &length, error));
    uint64_t at = ls_cursor_offset(c);
    LS_TRY(ls_cursor_bytes(c, length, "type", &text, error));
    if (length < sizeof known - 1 || memcmp(text, known, sizeof known - 1) != 0)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, c->file, at,
                          "found a model of type '%.*s', expected a Whisper or 'silero-…'", (int)length,
                          (const char *)text);
    return add_text(r, "type", (const char *)text, length, error);
}

static lockstep_status read_version(reader *r, lockstep_error *error) {
    uint32_t parts[3];
    for (int i = 0; i < 3; i++)
        LS_TRY(read_number(&r->cursor, "version", &parts[i], error));
    const char *text = ls_arena_printf(&r->archive->arena, "%" PRIu32 ".%" PRIu32 ".%" PRIu32, parts[0], parts[1], parts[2]);
    return text != NULL ? add_text(r, "version", text, strlen(text), error) : ls_fail_memory(r->archive, error);
}

/* The file stores the three numbers of each layer together; metadata has one array for each. */
static lockstep_status read_layers(reader *r, lockstep_error *error) {
    static const char *const keys[] = {"encoder_in_channels", "encoder_out_channels", "kernel_sizes"};
    ls_cursor *c = &r->cursor;
    uint64_t at = ls_cursor_offset(c);
    uint32_t count;
    LS_TRY(read_key(r, "n_encoder_layers", &count, error));
    if (count > ls_cursor_left(c) / LAYER_BYTES)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, at,
                          "found %" PRIu32 " encoder layers, expected at most %" PRIu64 " in the %" PRIu64 " bytes left",
                          count, ls_cursor_left(c) / LAYER_BYTES, ls_cursor_left(c));
    const uint8_t *layers = c->bytes + c->at;
    c->at += (uint64_t)count * LAYER_BYTES;
    for (int k = 0; k < 3; k++) {
        uint8_t *numbers = ls_arena_array(&r->archive->arena, count, 4);
        if (numbers == NULL)
            return ls_fail_memory(r->archive, error);
        for (size_t i = 0; i < count; i++)
            memcpy(numbers + 4 * i, layers + LAYER_BYTES * i + 4 * k, 4);
        LS_TRY(add_array(r, keys[k], LS_META_INT, count, numbers, error));
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_vad(reader *r, lockstep_error *error) {
    static const char *const first_numbers[] = {"n_window", "n_context", NULL};
    LS_TRY(read_type(r, error));
    LS_TRY(read_version(r, error));
    LS_TRY(read_keys(r, first_numbers, error));
    LS_TRY(read_layers(r, error));
    return read_keys(r, vad_numbers, error);
}

/* --- tensors */

typedef struct description {
    uint64_t at; /* its offset */
    uint32_t axes, name_length, type;
} description;

static lockstep_status read_description(ls_cursor *c, description *out, lockstep_error *error) {
    out->at = ls_cursor_offset(c);
    LS_TRY(read_number(c, "axes of a tensor", &out->axes, error));
    LS_TRY(read_number(c, "length of a tensor's name", &out->name_length, error));
    LS_TRY(read_number(c, "type of a tensor", &out->type, error));
    if (out->axes > MAX_AXES)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, out->at,
                          "found a tensor with %" PRIu32 " axes, expected at most %d", out->axes, MAX_AXES);
    if (out->name_length == 0 || out->name_length > MAX_NAME)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, out->at + 4,
                          "tensor name: found a length of %" PRIu32 " bytes, expected 1 to %d", out->name_length,
                          MAX_NAME);
    return LOCKSTEP_OK;
}

/* The sizes come before the name, but are read after it, because their messages include it. */
static lockstep_status read_name_and_shape(reader *r, const description *d, ls_tensor *t, lockstep_error *error) {
    ls_cursor *c = &r->cursor, sizes = *c;
    const uint8_t *bytes;
    LS_TRY(ls_cursor_bytes(c, 4 * (uint64_t)d->axes, "sizes of a tensor", &bytes, error));
    LS_TRY(ls_cursor_bytes(c, d->name_length, "tensor name", &bytes, error));
    LS_TRY(ls_cursor_copy_name(c, d->name_length, "tensor name", &r->archive->arena, &t->name, error));
    t->rank = (int)d->axes;
    for (int i = t->rank; i-- > 0;) {
        uint32_t size;
        LS_TRY(read_number(&sizes, t->name, &size, error));
        t->shape[i] = size;
    }
    return LOCKSTEP_OK;
}

/* In May 2023, ggml changed the layout of the blocks of 4 and 5 bits (version 1, llama.cpp's
 * pull request 1405), then of those whose scale was still an f32: q4_0, q4_1 and q8_0
 * (version 2, 1508). All other quantized types are younger. */
static lockstep_status check_blocks(const reader *r, const description *d, const ls_tensor *t, lockstep_error *error) {
    bool is_quantized = ls_dtype(t->dtype)->block_elements > 1;
    bool is_kept = t->dtype == LOCKSTEP_Q5_0 || t->dtype == LOCKSTEP_Q5_1;
    int version = r->quantization_version, least = is_kept ? 1 : 2;
    if (!is_quantized || version == ANY_VERSION || version >= least)
        return LOCKSTEP_OK;
    return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, r->source->name, d->at + 8,
                      "tensor '%s': found %s of quantization version %d (qntvr), whose block layout ggml no longer has, expected at least %d",
                      t->name, t->file_dtype, version, least);
}

static lockstep_status read_tensor(reader *r, lockstep_error *error) {
    ls_cursor *c = &r->cursor;
    ls_tensor t = {.source = r->source};
    description d;
    const uint8_t *data;
    LS_TRY(read_description(c, &d, error));
    uint64_t shape_at = ls_cursor_offset(c);
    LS_TRY(read_name_and_shape(r, &d, &t, error));
    LS_TRY(ls_ggml_type_set(&t, d.type, d.at + 8, shape_at, error));
    LS_TRY(check_blocks(r, &d, &t, error));
    t.offset = ls_cursor_offset(c);
    LS_TRY(ls_cursor_bytes(c, t.bytes, t.name, &data, error));
    return ls_archive_add_tensor(r->archive, &t, d.at, error);
}

static lockstep_status open_ggml(lockstep_archive *archive, ls_source *source, lockstep_error *error) {
    reader r = {.archive = archive, .source = source, .quantization_version = ANY_VERSION};
    uint32_t magic;
    archive->is_ordered = true;
    r.cursor = (ls_cursor){.size = source->size, .file = source->name};
    LS_TRY(ls_source_bytes(source, &r.cursor.bytes, error));
    LS_TRY(ls_cursor_u32(&r.cursor, "magic", &magic, error));
    if (magic != MAGIC)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, 0, "found the magic 0x%08" PRIx32 ", expected 0x%08x",
                          magic, MAGIC);
    LS_TRY(is_vad(r.cursor) ? read_vad(&r, error) : read_whisper(&r, error));
    while (ls_cursor_left(&r.cursor) > 0)
        LS_TRY(read_tensor(&r, error));
    return LOCKSTEP_OK;
}

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    (void)path;
    return !is_directory && size >= 4 && memcmp(head, "lmgg", 4) == 0;
}

const ls_format ls_format_ggml = {"ggml", "models of whisper.cpp (ggml-*.bin)", probe, open_ggml};
