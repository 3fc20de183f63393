#include "bundle/script.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"

enum { LANGUAGES = 2, NE = 4 };
typedef enum language { NUMPY, GGML } language;

static const struct {
    ls_op_id id;
    const char *text[LANGUAGES];
} forms[] = {
#define LS_SCRIPT_ROW(id, numpy, ggml) {LS_OP_##id, {numpy, ggml}},
#include "bundle/script_table.h"
#undef LS_SCRIPT_ROW
};

static const struct {
    const char *name, *text;
} helpers[] = {
#define LS_HELPER_ROW(name, text) {name, text},
#include "bundle/script_helpers.h"
#undef LS_HELPER_ROW
};
enum { HELPERS = sizeof helpers / sizeof helpers[0] };

static const char *form_of(const ls_node *n, language l) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && n->dialect == LS_DIALECT_GGML; i++)
        if (forms[i].id == n->kind->id)
            return forms[i].text[l];
    return NULL;
}

static const char *missing(const ls_script *s, language l) {
    for (size_t i = 0; i < s->step_count; i++)
        if (form_of(&s->steps[i].node, l) == NULL)
            return s->steps[i].node.op;
    return NULL;
}

const char *ls_script_missing_numpy(const ls_script *s) { return missing(s, NUMPY); }
const char *ls_script_missing_ggml(const ls_script *s) { return missing(s, GGML); }

/* ------------------------------------------------------------------ expressions */

/* "(2, 3)" */
static void put_shape(int rank, const uint64_t *shape, ls_text *out) {
    ls_text_printf(out, "(");
    for (int i = 0; i < rank; i++)
        ls_text_printf(out, "%llu,%s", (unsigned long long)shape[i], i + 1 < rank ? " " : "");
    ls_text_printf(out, ")");
}

/* "3, 2, 1, 1" */
static void put_ne(int rank, const uint64_t *shape, ls_text *out) {
    for (int i = 0; i < NE; i++)
        ls_text_printf(out, "%s%llu", i > 0 ? ", " : "", (unsigned long long)(i < rank ? shape[rank - 1 - i] : 1));
}

static uint64_t stride_of(const ls_node *view, int axis_from_inside) {
    uint64_t elements = 1;
    const int axis = view->rank - 1 - axis_from_inside;
    if (axis >= 0 && view->strides != NULL)
        return (uint64_t)view->strides[axis];
    for (int i = axis + 1; i < view->rank; i++)
        elements *= i >= 0 ? view->shape[i] : 1;
    return elements * sizeof(float);
}

/* Results are float32: a view's strides and offset are in its bytes. */
static void put_view(const ls_node *view, size_t step, language l, ls_text *out) {
    if (l == GGML) {
        ls_text_printf(out, "ggml_view_4d(ctx, y%zu, ", step);
        put_ne(view->rank, view->shape, out);
        for (int i = 1; i < NE; i++)
            ls_text_printf(out, ", %llu", (unsigned long long)stride_of(view, i));
        ls_text_printf(out, ", %llu)", (unsigned long long)view->offset);
        return;
    }
    ls_text_printf(out, "view(y%zu, ", step);
    put_shape(view->rank, view->shape, out);
    ls_text_printf(out, ", (");
    for (int i = view->rank; i-- > 0;)
        ls_text_printf(out, "%llu,%s", (unsigned long long)stride_of(view, i) / sizeof(float), i > 0 ? " " : "");
    ls_text_printf(out, "), %llu)", (unsigned long long)view->offset / sizeof(float));
}

static void put_operand(const ls_script_step *step, size_t slot, language l, ls_text *out) {
    const bool any = slot < LS_SCRIPT_OPERANDS && step->operands[slot].source != LS_SCRIPT_NOTHING;
    if (!any)
        ls_text_printf(out, l == NUMPY ? "None" : "NULL");
    else if (step->operands[slot].view != NULL)
        put_view(step->operands[slot].view, step->operands[slot].at, l, out);
    else
        ls_text_printf(out, "%c%zu", step->operands[slot].source == LS_SCRIPT_LEAF ? 'x' : 'y', step->operands[slot].at);
}

/* What stands in braces. */
static void put_word(const ls_script_step *step, size_t at, const char *word, language l, ls_text *out) {
    const double *value = ls_node_parameter(&step->node, word);
    if (isdigit((unsigned char)word[0]))
        put_operand(step, (size_t)(word[0] - '0'), l, out);
    else if (strcmp(word, "shape") == 0)
        put_shape(step->node.rank, step->node.shape, out);
    else if (strcmp(word, "ne") == 0)
        put_ne(step->node.rank, step->node.shape, out);
    else if (strcmp(word, "y") == 0)
        ls_text_printf(out, "y%zu", at);
    else if (value == NULL || isfinite(*value))
        ls_text_printf(out, "%.9g", value != NULL ? *value : 0);
    else
        ls_text_printf(out, "%s%s", *value < 0 ? "-" : "", l == NUMPY ? (isnan(*value) ? "math.nan" : "math.inf") : (isnan(*value) ? "NAN" : "INFINITY"));
}

static void put_form(const ls_script_step *step, size_t at, language l, ls_text *out) {
    const char *text = form_of(&step->node, l);
    while (text != NULL && *text != '\0') {
        char word[32];
        const size_t plain = strcspn(text, "{"), length = text[plain] == '{' ? strcspn(text + plain, "}") : 0;
        ls_text_append(out, text, plain);
        text += plain;
        if (length == 0)
            continue;
        snprintf(word, sizeof word, "%.*s", (int)length - 1, text + 1);
        put_word(step, at, word, l, out);
        text += length + 1;
    }
}

/* In a comment to the end of the line, which no name may continue. */
static void put_name(const ls_script_leaf *x, ls_text *out) {
    char name[300];
    ls_escape(x->name, strlen(x->name), name, sizeof name);
    ls_text_printf(out, "\"%s\"\n", name);
}

/* ------------------------------------------------------------------ NumPy */

static bool calls(const char *text, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name))
        if ((at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_' || at[-1] == '.')) && !(isalnum((unsigned char)at[length]) || at[length] == '_'))
            return true;
    return false;
}

/* The functions that are called, by the script or by one another. */
static void put_helpers(const char *script, ls_text *out) {
    bool wanted[HELPERS];
    for (int i = HELPERS; i-- > 0;) {
        wanted[i] = calls(script, helpers[i].name);
        for (int k = i + 1; k < HELPERS && !wanted[i]; k++)
            wanted[i] = wanted[k] && calls(helpers[k].text, helpers[i].name);
    }
    for (int i = 0; i < HELPERS; i++)
        if (wanted[i])
            ls_text_printf(out, "%s\n", helpers[i].text);
}

static bool has_views(const ls_script *s) {
    for (size_t i = 0; i < s->step_count; i++)
        for (size_t k = 0; k < LS_SCRIPT_OPERANDS; k++)
            if (s->steps[i].operands[k].view != NULL)
                return true;
    return false;
}

void ls_script_numpy(const ls_script *s, ls_text *out) {
    ls_text lines = {0};
    for (size_t i = 0; i < s->leaf_count; i++) {
        ls_text_printf(&lines, "x%zu = np.load(here / \"x%zu.npy\").astype(np.float64)  # ", i, i);
        put_name(&s->leaves[i], &lines);
    }
    for (size_t i = 0; i < s->step_count; i++) {
        ls_text_printf(&lines, "y%zu = (", i);
        put_form(&s->steps[i], i, NUMPY, &lines);
        ls_text_printf(&lines, ").reshape(");
        put_shape(s->steps[i].node.rank, s->steps[i].node.shape, &lines);
        ls_text_printf(&lines, ")  # %s\n", s->steps[i].node.kind->name);
    }
    ls_text_printf(out, "import math\nimport pathlib\n\nimport numpy as np\n\nhere = pathlib.Path(__file__).parent\n\n\n");
    if (has_views(s))
        ls_text_printf(out, "def view(y, shape, strides, offset):  # in elements\n    flat = np.ascontiguousarray(y).reshape(-1)[offset:]\n"
                            "    return np.lib.stride_tricks.as_strided(flat, shape, [n * flat.itemsize for n in strides])\n\n");
    put_helpers(lines.data != NULL ? lines.data : "", out);
    ls_text_printf(out, "\ndef error(name):  # relative L2, of what is a number, or inf where only one of the two is\n    other = np.load(here / name).astype(np.float64)\n    known = np.isfinite(other) & np.isfinite(y%zu)\n"
                        "    if name == \"got.npy\" and (np.isfinite(y%zu) & ~np.isfinite(other)).any():\n        return np.inf\n"
                        "    return np.linalg.norm((y%zu - other)[known]) / np.linalg.norm(other[known])\n\n\n%s\nprint(f\"computed here, relative L2: {error('got.npy'):%s} from the candidate's recorded result, "
                        "{error('expected.npy'):%s} from the reference's\")\n",
                   s->step_count - 1, s->step_count - 1, s->step_count - 1, lines.data != NULL ? lines.data : "", ".1e", ".1e");
    out->failed = out->failed || lines.failed;
    ls_text_done(&lines);
}

/* ------------------------------------------------------------------ ggml */

static const char c_head[] =
    "/* Compile with ggml's headers, and link with ggml, ggml-base and ggml-cpu; run it in this folder. */\n"
    "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n#include \"ggml.h\"\n#include \"ggml-cpu.h\"\n\n"
    "/* The elements of an .npy file, which are float32 or int32. */\n"
    "static void *read_npy(const char *path, size_t bytes) {\n"
    "    unsigned char head[10];\n"
    "    char *data = malloc(bytes);\n"
    "    FILE *file = fopen(path, \"rb\");\n"
    "    if (file == NULL || fread(head, 1, 10, file) != 10 || fseek(file, 10 + head[8] + 256 * head[9], SEEK_SET) != 0 || fread(data, 1, bytes, file) != bytes)\n"
    "        abort();\n"
    "    fclose(file);\n"
    "    return data;\n}\n\n"
    "static struct ggml_tensor *load(struct ggml_context *ctx, const char *path, enum ggml_type type, int64_t a, int64_t b, int64_t c, int64_t d) {\n"
    "    struct ggml_tensor *t = ggml_new_tensor_4d(ctx, type, a, b, c, d);\n"
    "    float *values = read_npy(path, 4 * ggml_nelements(t));\n"
    "    if (type == GGML_TYPE_F16)\n        ggml_fp32_to_fp16_row(values, t->data, ggml_nelements(t));\n"
    "    else if (type == GGML_TYPE_BF16)\n        ggml_fp32_to_bf16_row(values, t->data, ggml_nelements(t));\n"
    "    else\n        memcpy(t->data, values, ggml_nbytes(t));\n"
    "    free(values);\n    return t;\n}\n\n"
    "static struct ggml_tensor *load_blocks(struct ggml_context *ctx, const char *path, enum ggml_type type, int64_t a, int64_t b, int64_t c, int64_t d) {\n"
    "    struct ggml_tensor *t = ggml_new_tensor_4d(ctx, type, a, b, c, d);\n"
    "    FILE *file = fopen(path, \"rb\");\n"
    "    if (file == NULL || fread(t->data, 1, ggml_nbytes(t), file) != ggml_nbytes(t))\n        abort();\n"
    "    fclose(file);\n    return t;\n}\n\n"
    "/* Relative L2, of what is a number; infinite where only what was computed here is one. */\n"
    "static double error(const struct ggml_tensor *y, const char *path) {\n"
    "    const float *other = read_npy(path, 4 * ggml_nelements(y)), *own = y->data;\n"
    "    double difference = 0, norm = 0;\n"
    "    for (int64_t i = 0; i < ggml_nelements(y); i++)\n"
    "        if (isfinite(own[i]) && !isfinite(other[i]) && strcmp(path, \"got.npy\") == 0)\n            return INFINITY;\n"
    "        else if (isfinite(other[i]) && isfinite(own[i])) {\n            difference += pow(own[i] - other[i], 2);\n            norm += pow(other[i], 2);\n        }\n"
    "    return sqrt(difference / norm);\n}\n\n"
    "int main(void) {\n";

static uint64_t elements_of(int rank, const uint64_t *shape) {
    uint64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

static void put_leaf(const ls_script_leaf *x, size_t at, ls_text *out) {
    ls_text_printf(out, "    struct ggml_tensor *x%zu = %s(ctx, \"x%zu.%s\", GGML_TYPE_", at, x->is_raw ? "load_blocks" : "load", at, x->is_raw ? "bin" : "npy");
    for (const char *c = x->type; *c != '\0'; c++)
        ls_text_printf(out, "%c", toupper((unsigned char)*c));
    ls_text_printf(out, ", ");
    put_ne(x->rank, x->shape, out);
    ls_text_printf(out, "); // ");
    put_name(x, out);
}

void ls_script_ggml(const ls_script *s, ls_text *out) {
    uint64_t bytes = (uint64_t)64 << 20; /* for ggml's graph and its work */
    for (size_t i = 0; i < s->leaf_count; i++)
        bytes += 8 * elements_of(s->leaves[i].rank, s->leaves[i].shape);
    for (size_t i = 0; i < s->step_count; i++)
        bytes += 8 * s->steps[i].node.elements;
    ls_text_printf(out, "%s    struct ggml_context *ctx = ggml_init((struct ggml_init_params){.mem_size = %lluull});\n", c_head, (unsigned long long)bytes);
    for (size_t i = 0; i < s->leaf_count; i++)
        put_leaf(&s->leaves[i], i, out);
    for (size_t i = 0; i < s->step_count; i++) {
        ls_text_printf(out, "    struct ggml_tensor *y%zu = ", i);
        put_form(&s->steps[i], i, GGML, out);
        ls_text_printf(out, "; // %s\n", s->steps[i].node.kind->name);
    }
    ls_text_printf(out, "    struct ggml_cgraph *graph = ggml_new_graph(ctx);\n    ggml_build_forward_expand(graph, y%zu);\n    ggml_graph_compute_with_ctx(ctx, graph, 1);\n"
                        "    printf(\"computed by ggml, relative L2: %%.1e from the candidate's recorded result, %%.1e from the reference's\\n\", error(y%zu, \"got.npy\"), error(y%zu, \"expected.npy\"));\n"
                        "    ggml_free(ctx);\n    return 0;\n}\n",
                   s->step_count - 1, s->step_count - 1, s->step_count - 1);
}
