/* preprocessor_config.json: its keys, and what they set. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/json_tree.h"
#include "image/processor_kind.h"

typedef struct reading {
    const char *path;
    ls_processor *to;
    lockstep_error *error;
} reading;

typedef lockstep_status reader(const reading *r, const char *key, const json_t *value, void *field);

static lockstep_status expected(const reading *r, const char *key, const char *what) {
    return ls_fail(r->error, LOCKSTEP_MALFORMED, "%s: %s: expected %s", r->path, key, what);
}

static lockstep_status read_flag(const reading *r, const char *key, const json_t *value, void *field) {
    if (!json_is_boolean(value))
        return expected(r, key, "true or false");
    *(bool *)field = json_is_true(value);
    return LOCKSTEP_OK;
}

static lockstep_status read_count(const reading *r, const char *key, const json_t *value, void *field) {
    const double number = json_number_value(value);
    if (!json_is_number(value) || number != floor(number) || number < 1 || number > 65535)
        return expected(r, key, "a whole number from 1 to 65535");
    *(uint32_t *)field = (uint32_t)number;
    return LOCKSTEP_OK;
}

static lockstep_status read_number(const reading *r, const char *key, const json_t *value, void *field) {
    if (!json_is_number(value) || !(json_number_value(value) > 0))
        return expected(r, key, "a number above 0");
    *(double *)field = json_number_value(value);
    return LOCKSTEP_OK;
}

/* A number for all channels, or one for each. */
static lockstep_status read_channels(const reading *r, const char *key, const json_t *value, void *field) {
    double *out = field;
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_number(item) || (json_is_array(value) && json_array_size(value) != 3))
            return expected(r, key, "3 numbers, or one for all channels");
        out[i] = json_number_value(item);
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_spread(const reading *r, const char *key, const json_t *value, void *field) {
    LS_TRY(read_channels(r, key, value, field));
    const double *std = field;
    return std[0] > 0 && std[1] > 0 && std[2] > 0 ? LOCKSTEP_OK : expected(r, key, "numbers above 0");
}

/* PIL.Image.Resampling */
static lockstep_status read_resample(const reading *r, const char *key, const json_t *value, void *field) {
    static const char *const names[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > 5)
        return expected(r, key, "a resampling filter of Pillow's, 0 to 5");
    *(const ls_filter **)field = ls_filter_find(names[number]);
    return LOCKSTEP_OK;
}

static lockstep_status read_size(const reading *r, const char *key, const json_t *value, void *field) {
    ls_wanted_size *out = field;
    const struct {
        const char *name;
        uint32_t *to;
    } edges[] = {{"height", &out->height}, {"width", &out->width}, {"shortest_edge", &out->shortest_edge}, {"longest_edge", &out->longest_edge}, {"max_height", &out->max_height}, {"max_width", &out->max_width}};
    *out = (ls_wanted_size){0};
    if (json_is_integer(value)) {
        const bool is_square = r->to->kind->size_is_square || strcmp(key, "crop_size") == 0;
        LS_TRY(read_count(r, key, value, is_square ? &out->height : &out->shortest_edge));
        out->width = out->height;
        return LOCKSTEP_OK;
    }
    if (!json_is_object(value))
        return expected(r, key, "a number, or an object of height and width, or shortest_edge");
    size_t known = 0;
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        const json_t *edge = json_object_get(value, edges[i].name);
        if (edge != NULL && !json_is_null(edge))
            LS_TRY(read_count(r, key, edge, edges[i].to));
        known += edge != NULL;
    }
    return known == json_object_size(value) ? LOCKSTEP_OK : expected(r, key, "only height, width, shortest_edge, longest_edge, max_height, max_width");
}

#define FIELD(name) offsetof(ls_processor, name)
static const struct key {
    const char *name;
    reader *read; /* NULL: it changes nothing here */
    size_t field;
} keys[] = {
    {"do_resize", read_flag, FIELD(do_resize)},
    {"do_center_crop", read_flag, FIELD(do_center_crop)},
    {"do_rescale", read_flag, FIELD(do_rescale)},
    {"do_normalize", read_flag, FIELD(do_normalize)},
    {"do_pad", read_flag, FIELD(do_pad)},
    {"do_pan_and_scan", read_flag, FIELD(do_pan_and_scan)},
    {"resample", read_resample, FIELD(resample)},
    {"size", read_size, FIELD(size)},
    {"crop_size", read_size, FIELD(crop_size)},
    {"pad_size", read_size, FIELD(pad_size)},
    {"rescale_factor", read_number, FIELD(rescale_factor)},
    {"image_mean", read_channels, FIELD(mean)},
    {"image_std", read_spread, FIELD(std)},
    {"max_image_tiles", read_count, FIELD(max_image_tiles)},
    {"pan_and_scan_min_crop_size", read_count, FIELD(pan_and_scan_min_crop_size)},
    {"pan_and_scan_max_num_crops", read_count, FIELD(pan_and_scan_max_num_crops)},
    {"pan_and_scan_min_ratio_to_activate", read_number, FIELD(pan_and_scan_min_ratio_to_activate)},
    /* pictures are read as RGB, whatever this says */
    {"do_convert_rgb", NULL, 0},
    {"image_processor_type", NULL, 0},
    {"feature_extractor_type", NULL, 0},
    {"processor_class", NULL, 0},
    {"image_seq_length", NULL, 0},
    {"image_seq_len", NULL, 0},
    {"data_format", NULL, 0},
    {"default_to_square", NULL, 0},
    {"_valid_processor_keys", NULL, 0},
};

static const struct key *find_key(const char *name) {
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static lockstep_status read_keys(const reading *r, json_t *config) {
    const char *name;
    json_t *value;
    json_object_foreach(config, name, value) {
        const struct key *k = find_key(name);
        if (json_is_null(value))
            continue;
        if (k == NULL) {
            ls_text_printf(&r->to->unused, "%s%s", r->to->unused.length > 0 ? ", " : "", name);
        } else if (k->read != NULL) {
            LS_TRY(k->read(r, name, value, (char *)r->to + k->field));
        }
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ which kind */

static void list_kinds(ls_text *out) {
    for (const ls_processor_kind *k = ls_processor_kinds; k->name != NULL; k++)
        ls_text_printf(out, "%s%s", k == ls_processor_kinds ? "" : ", ", k->name);
}

/* "MllamaImageProcessorFast", "CLIPFeatureExtractor": the name before what all are called. */
static const ls_processor_kind *find_kind(const char *type) {
    static const char *const ends[] = {"ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"};
    for (const ls_processor_kind *k = ls_processor_kinds; k->name != NULL; k++)
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            if (strncmp(type, k->name, strlen(k->name)) == 0 && strcmp(type + strlen(k->name), ends[i]) == 0)
                return k;
    return NULL;
}

static lockstep_status choose_kind(const reading *r, const json_t *config) {
    const char *type = json_string_value(json_object_get(config, "image_processor_type"));
    ls_text known = {0};
    if (type == NULL)
        type = json_string_value(json_object_get(config, "feature_extractor_type"));
    const ls_processor_kind *kind = type != NULL ? find_kind(type) : NULL;
    if (kind != NULL) {
        *r->to = kind->defaults;
        r->to->kind = kind;
        return LOCKSTEP_OK;
    }
    list_kinds(&known);
    const lockstep_status status = ls_fail(r->error, type == NULL ? LOCKSTEP_MALFORMED : LOCKSTEP_UNSUPPORTED, "%s: %s%s%s, expected an image processor of these: %s", r->path,
                                           type == NULL ? "found no image_processor_type" : "image_processor_type: found '", type == NULL ? "" : type, type == NULL ? "" : "'", known.data);
    ls_text_done(&known);
    return status;
}

/* ------------------------------------------------------------------ the file */

/* In a folder, transformers has it under one of two names. */
static char *file_of(const char *path) {
    static const char *const names[] = {"preprocessor_config.json", "processor_config.json"};
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return strdup(path);
    ls_text full = {0};
    for (size_t i = 0; i < 2; i++) {
        ls_text_clear(&full);
        ls_text_printf(&full, "%s/%s", path, names[i]);
        if (full.data != NULL && stat(full.data, &info) == 0)
            return full.data;
    }
    ls_text_clear(&full);
    ls_text_printf(&full, "%s/%s", path, names[0]);
    return full.data;
}

static lockstep_status read_config(const reading *r) {
    ls_source *source;
    json_t *config = NULL;
    LS_TRY(ls_source_open_file(r->path, &source, r->error));
    lockstep_status status = ls_json_tree(source, &config, r->error);
    ls_source_close(source);
    if (status != LOCKSTEP_OK)
        return status;
    json_t *own = json_object_get(config, "image_processor"); /* in processor_config.json */
    own = json_is_object(own) ? own : config;
    status = json_is_object(own) ? choose_kind(r, own) : ls_fail(r->error, LOCKSTEP_MALFORMED, "%s: expected a JSON object", r->path);
    if (status == LOCKSTEP_OK)
        status = read_keys(r, own);
    json_decref(config);
    return status;
}

lockstep_status ls_processor_open(const char *path, ls_processor *out, lockstep_error *error) {
    ls_processor processor = {0};
    char *file = file_of(path);
    if (file == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    const lockstep_status status = read_config(&(reading){file, &processor, error});
    free(file);
    if (status == LOCKSTEP_OK)
        *out = processor;
    else
        ls_processor_done(&processor);
    return status;
}

void ls_processor_done(ls_processor *p) { ls_text_done(&p->unused); }
