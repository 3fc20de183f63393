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

/* Made once for all formats, where the caller keeps it; `own` is used otherwise. NULL when out of memory. */
static const ls_result *kept_result(json_writer *write_json, const void *compared, ls_result *kept, ls_result *own) {
    lockstep_error error;
    ls_result *result = kept != NULL ? kept : own;
    if (result == NULL || result->json != NULL)
        return result;
    json_t *json = read_back(write_json, compared);
    return json != NULL && ls_result_take(json, "the result", result, &error) == LOCKSTEP_OK ? result : NULL;
}

static bool write_kept(json_writer *write_json, const void *compared, ls_result *kept, format *function, FILE *out) {
    ls_result own = {0};
    ls_text text = {0};
    const ls_result *result = kept_result(write_json, compared, kept, &own);
    if (result != NULL)
        function(result, &text);
    const bool ok = result != NULL && !text.failed && fwrite(text.data, 1, text.length, out) == text.length;
    ls_text_done(&text);
    ls_result_done(&own);
    return ok;
}

static bool traces_json(const void *compared, FILE *out) { return ls_report_json(compared, out); }
static bool checkpoints_json(const void *compared, FILE *out) { return ls_report_checkpoints_json(compared, out); }

const ls_result *ls_report_result_of_traces(const ls_comparison *c) { return kept_result(traces_json, c, c->kept, NULL); }
const ls_result *ls_report_result_of_checkpoints(const ls_checkpoint_report *c) { return kept_result(checkpoints_json, c, c->kept, NULL); }

bool ls_report_junit(const ls_comparison *c, FILE *out) { return write_kept(traces_json, c, c->kept, ls_result_junit, out); }
bool ls_report_checkpoints_junit(const ls_checkpoint_report *c, FILE *out) { return write_kept(checkpoints_json, c, c->kept, ls_result_junit, out); }
bool ls_report_markdown(const ls_comparison *c, FILE *out) { return write_kept(traces_json, c, c->kept, ls_result_markdown, out); }
bool ls_report_checkpoints_markdown(const ls_checkpoint_report *c, FILE *out) { return write_kept(checkpoints_json, c, c->kept, ls_result_markdown, out); }
