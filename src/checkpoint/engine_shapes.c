#include "checkpoint/engine_shapes.h"

#include <string.h>

/* Tensors for each channel of a picture, whose engine multiplies [columns, rows, channels] with them as they lie. */
static const struct {
    const char *architecture, *ending, *trouble;
} rows[] = {
    {"clip", "layer_scale.gamma",
     "one number for each channel has to be [1, channels, 1, 1]: llama.cpp multiplies pictures, whose columns are innermost, with the tensor as it lies, and stops at "
     "ggml_can_repeat (the converter has to reshape it)"},
};

static bool ends_with(const char *name, const char *ending) {
    const size_t length = strlen(name), own = strlen(ending);
    return length >= own && strcmp(name + length - own, ending) == 0;
}

const char *ls_engine_shape_trouble(const char *architecture, const ls_tensor *t) {
    const bool is_innermost = t->rank > 0 && t->elements > 1 && t->shape[t->rank - 1] == t->elements;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && is_innermost; i++)
        if (strcmp(architecture, rows[i].architecture) == 0 && ends_with(t->name, rows[i].ending))
            return rows[i].trouble;
    return NULL;
}
