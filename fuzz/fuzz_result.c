/* A kept result: read, written in the other formats, judged anew, and compared with itself. */
#include <math.h>
#include <stdlib.h>

#include "format/json_tree.h"
#include "result/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *read_json(const uint8_t *data, size_t size) {
    ls_source *source;
    json_t *json = NULL;
    lockstep_error error;
    if (ls_source_open_memory("result.json", data, size, &source, &error) != LOCKSTEP_OK)
        return NULL;
    if (ls_json_tree(source, &json, &error) != LOCKSTEP_OK)
        json = NULL;
    ls_source_close(source);
    return json;
}

static void use(ls_result *r) {
    const ls_thresholds thresholds = {.rel_l2 = 1e-3, .max_abs = NAN, .cosine = 0.99, .nmse = NAN};
    ls_progress progress;
    ls_text text = {0};
    lockstep_error error;
    ls_result_junit(r, &text);
    ls_result_markdown(r, &text);
    if (ls_result_compare(r, r, &progress, &text, &error) == LOCKSTEP_OK && progress.new_failures + progress.gone > 0)
        abort(); /* nothing is new in the same result */
    if (ls_result_judge(r, &thresholds, &error) == LOCKSTEP_OK)
        ls_result_junit(r, &text);
    ls_text_done(&text);
    ls_result_done(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *json = read_json(data, size);
    ls_result result;
    lockstep_error error;
    if (json != NULL && ls_result_take(json, "result.json", &result, &error) == LOCKSTEP_OK)
        use(&result);
    return 0;
}
