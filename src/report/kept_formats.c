/* Formats that are written from the result's JSON, as `lockstep report` writes them from a kept one. */
#include <jansson.h>
#include <stdlib.h>

#include "report/report.h"
#include "result/result.h"

typedef void format(const ls_result *result, ls_text *out);
typedef bool json_writer(const void *compared, FILE *out);

static json_t *read_back(json_writer *write_json, const void *compared) {
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    bool ok = file != NULL && write_json(compared, file);
    ok = file != NULL && fclose(file) == 0 && ok;
    json_t *json = ok ? json_loadb(text, length, JSON_ALLOW_NUL, NULL) : NULL;
    free(text);
    return json;
}

static bool take(json_writer *write_json, const void *compared, ls_result *out_result) {
    lockstep_error error;
    json_t *json = read_back(write_json, compared);
    return json != NULL && ls_result_take(json, "the result", out_result, &error) == LOCKSTEP_OK;
}

static bool write_kept(json_writer *write_json, const void *compared, format *function, FILE *out) {
    ls_result result;
    ls_text text = {0};
    if (!take(write_json, compared, &result))
        return false;
    function(&result, &text);
    const bool ok = !text.failed && fwrite(text.data, 1, text.length, out) == text.length;
    ls_text_done(&text);
    ls_result_done(&result);
    return ok;
}

static bool traces_json(const void *compared, FILE *out) { return ls_report_json(compared, out); }
static bool checkpoints_json(const void *compared, FILE *out) { return ls_report_checkpoints_json(compared, out); }

bool ls_report_result_of_traces(const ls_comparison *c, ls_result *out_result) { return take(traces_json, c, out_result); }
bool ls_report_result_of_checkpoints(const ls_checkpoint_report *c, ls_result *out_result) { return take(checkpoints_json, c, out_result); }

bool ls_report_junit(const ls_comparison *c, FILE *out) { return write_kept(traces_json, c, ls_result_junit, out); }
bool ls_report_checkpoints_junit(const ls_checkpoint_report *c, FILE *out) { return write_kept(checkpoints_json, c, ls_result_junit, out); }
bool ls_report_markdown(const ls_comparison *c, FILE *out) { return write_kept(traces_json, c, ls_result_markdown, out); }
bool ls_report_checkpoints_markdown(const ls_checkpoint_report *c, FILE *out) { return write_kept(checkpoints_json, c, ls_result_markdown, out); }
