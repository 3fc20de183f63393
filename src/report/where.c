#include "report/where.h"

#include <string.h>

#include "base/escape.h"
#include "checkpoint/hyperparameters.h"

enum { IDS = 6 };

/* A rule's hyperparameters, by their ids in hyperparameters.c, and what else is known to cause it. */
static const struct {
    const char *rule, *ids[IDS], *text;
} places[] = {
    {"norm-eps", {"norm-eps"}, NULL},
    {"rope-frequency", {"rope-base", "rope-base-local"}, NULL},
    {"rope-factors", {"rope-scaling", "rope-factor", "rope-original-context"}, NULL},
    {"rope-dims", {"rope-dimensions", "head-size"}, NULL},
    {"rope-interleave", {0}, "the converter's permutation of the query and key weights, and the engine's kind of RoPE (halves, or neighbouring elements)"},
    {"row-shift", {0}, "the position ids that each side is given"},
    {"mask", {"sliding-window"}, "which layers have a window (layer_types, sliding_window_pattern), and whether attention is causal"},
    {"window", {"sliding-window"}, "whether the window counts the token itself"},
    {"window-size", {"sliding-window"}, NULL},
    {"softmax-scale", {"attention-scale", "head-size"}, "query_pre_attn_scalar"},
    {"soft-cap", {"attention-softcap", "final-softcap"}, NULL},
    {"activation", {0}, "hidden_act or hidden_activation in config.json, and the activation in the engine's graph"},
    {"gelu-variant", {0}, "hidden_act or hidden_activation in config.json, and the kind of GELU in the engine's graph"},
    {"gate-swapped", {0}, "the order of gate and up in the converter, or in the engine's graph"},
    {"conv-padding", {0}, "the padding of this convolution: SAME pads more behind than in front, where a padding of its own pads both sides alike"},
    {"pool-kind", {0}, "the kind of pooling in the engine's graph"},
    {"softmax-axis", {0}, "the axis of the softmax, and the order of the two factors of the scores' product"},
    {"axes-swapped", {0}, "the reshapes and permutations in front of this operation: they keep the shape where rows and columns are equally many"},
    {"scale", {"embedding-multiplier", "residual-multiplier", "logit-scale", "attention-scale", "attention-softcap", "final-softcap"}, NULL},
    {"missing-term", {0}, "a bias (attention_bias, mlp_bias) or a residual that one side leaves out"},
    {"term-order", {0}, "the reshape of this term, and the order in which its parts are looked up"},
    {"term-scale", {0}, "the gate or multiplier of this term, and the function that it goes through"},
    {"swapped-with", {0}, "the converter's table of tensor names"},
    {"head-order", {0}, "the converter's reshaping of this tensor's heads"},
    {"row-order", {0}, "the converter's reshaping of this tensor"},
    {"rolled", {0}, "the converter's slicing of this tensor, or the order in which a graph joins its parts"},
    {"plus-one", {0}, "which side adds 1 to the weights of this norm: the converter, the engine, or both"},
    {"all-zero", {0}, "whether the converter writes this part of the tensor"},
    {"not-changed", {0}, "the converter's step that changes this tensor"},
    {"pixels", {0}, "preprocessor_config.json (size, crop_size, resample, image_mean, image_std), and the engine's preprocessing (clip.vision.image_size, .image_mean, .image_std in a GGUF file)"},
    {"pixels-geometry", {0}, "size, crop_size, do_center_crop, do_pad in preprocessor_config.json, and how the engine brings a picture to clip.vision.image_size"},
    {"pixels-filter", {0}, "resample in preprocessor_config.json, and the engine's function that resizes"},
    {"pixels-order", {0}, "in which order the engine's preprocessing writes colours, rows and columns"},
    {"pixels-tiles", {0}, "in which order the engine's preprocessing splits a picture into tiles"},
    {"pixels-normalization", {0}, "image_mean, image_std, rescale_factor, do_rescale, do_normalize in preprocessor_config.json; clip.vision.image_mean, clip.vision.image_std in a GGUF file"},
    {"pixels-rounding", {0}, "how the engine's function that resizes rounds to 8 bits"},
    {"kernel", {0}, "the engine's kernel of this operation, for this back end"},
};

static void put_value(const ls_setting_value *v, ls_text *out) {
    if (!v->known) {
        ls_text_printf(out, "not given");
        return;
    }
    ls_text_escaped(out, v->key != NULL ? v->key : "by default");
    ls_text_printf(out, " ");
    ls_text_escaped(out, v->text);
}

/* Both sides' keys and values; false where neither gives any. */
static bool put_setting(const ls_setting *s, const char *separator, ls_text *out) {
    if (!s->sides[0].known && !s->sides[1].known)
        return false;
    ls_text_printf(out, "%s%s (", separator, s->meaning);
    put_value(&s->sides[0], out);
    ls_text_printf(out, "; candidate: ");
    put_value(&s->sides[1], out);
    ls_text_printf(out, s->verdict == LS_SETTING_DIFFERS ? ": they differ)" : ")");
    return true;
}

static const ls_setting *find_setting(const ls_settings *settings, const char *id) {
    for (size_t i = 0; i < settings->count; i++)
        if (strcmp(settings->items[i].id, id) == 0)
            return &settings->items[i];
    return NULL;
}

static const ls_hyperparameter *find_hyperparameter(const char *id) {
    const ls_hyperparameter *h = ls_hyperparameters;
    while (h->id != NULL && strcmp(h->id, id) != 0)
        h++;
    return h->id != NULL ? h : NULL;
}

/* What the keys are called. */
static bool put_keys(const ls_hyperparameter *h, const char *separator, ls_text *out) {
    ls_text_printf(out, "%s%s (%s in config.json", separator, h->meaning, h->hf[0]);
    if (h->gguf[0] != NULL)
        ls_text_printf(out, ", %s in a GGUF file", h->gguf[0]);
    ls_text_printf(out, ")");
    return true;
}

static bool put_id(const char *id, const ls_settings *settings, const char *separator, ls_text *out) {
    const ls_hyperparameter *h = find_hyperparameter(id);
    const ls_setting *s = settings != NULL ? find_setting(settings, id) : NULL;
    return s != NULL ? put_setting(s, separator, out) : settings == NULL && h != NULL && put_keys(h, separator, out);
}

/* Where some settings differ, the others are not the reason. */
static bool any_differs(const char *const ids[IDS], const ls_settings *settings) {
    bool any = false;
    for (int i = 0; i < IDS && ids[i] != NULL && settings != NULL && !any; i++) {
        const ls_setting *s = find_setting(settings, ids[i]);
        any = s != NULL && s->verdict == LS_SETTING_DIFFERS;
    }
    return any;
}

/* Of one rule, whose name has this length. */
static const char *put_place(const char *rule, size_t length, const ls_settings *settings, const char *separator, ls_text *out) {
    size_t at = 0;
    while (at < sizeof places / sizeof places[0] && (strlen(places[at].rule) != length || memcmp(places[at].rule, rule, length) != 0))
        at++;
    if (at == sizeof places / sizeof places[0])
        return separator;
    const bool differing_only = any_differs(places[at].ids, settings);
    for (int i = 0; i < IDS && places[at].ids[i] != NULL; i++) {
        const ls_setting *s = differing_only ? find_setting(settings, places[at].ids[i]) : NULL;
        if ((!differing_only || (s != NULL && s->verdict == LS_SETTING_DIFFERS)) && put_id(places[at].ids[i], settings, separator, out))
            separator = "; ";
    }
    if (places[at].text != NULL)
        ls_text_printf(out, "%s%s", separator, places[at].text);
    return "; ";
}

void ls_report_place(const char *rule, const ls_settings *settings, ls_text *out) {
    const char *separator = "";
    for (size_t length; *rule != '\0'; rule += length + (rule[length] == '+')) { /* several causes together: "window+soft-cap" */
        length = strcspn(rule, "+");
        separator = put_place(rule, length, settings, separator, out);
    }
}
