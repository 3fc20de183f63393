#include "trace/selection.h"

#include <string.h>

void ls_selection_text(const char *layers, const char *tensors, const char *ops, ls_text *out) {
    if (layers != NULL)
        ls_text_printf(out, "layer%s %s", strpbrk(layers, ",-") != NULL ? "s" : "", layers);
    if (tensors != NULL)
        ls_text_printf(out, "%stensors that match '%s'", out->length > 0 ? ", " : "", tensors);
    if (ops != NULL)
        ls_text_printf(out, "%soperations that match '%s'", out->length > 0 ? ", " : "", ops);
}
