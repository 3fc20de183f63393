#include "report/page.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "report/picture_json.h"
#include "report/report.h"

/* JSON as the content of a script element, without white space between its tokens. What could end the element, or a line of JavaScript,
 * only occurs in strings, where an escape means the same. */
static void put_data(const char *json, size_t length, FILE *out) {
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)json[i];
        if (c == '<' || c == '>' || c == '&') {
            fprintf(out, "\\u%04x", c);
        } else if (c == 0xe2 && i + 2 < length && (unsigned char)json[i + 1] == 0x80 && ((unsigned char)json[i + 2] | 1) == 0xa9) {
            fprintf(out, "\\u20%02x", 0x28 + ((unsigned char)json[i + 2] & 1));
            i += 2;
        } else if (in_string && c == '\\' && i + 1 < length) {
            fwrite(json + i++, 1, 2, out);
        } else if (in_string || strchr(" \n\t\r", c) == NULL) {
            in_string ^= c == '"';
            fputc(c, out);
        }
    }
}

bool ls_page_write(const char *result, size_t length, const char *pictures, FILE *out) {
    fputs((const char *)ls_page_head, out);
    put_data(result, length, out);
    fputs((const char *)ls_page_middle, out);
    if (pictures != NULL)
        put_data(pictures, strlen(pictures), out);
    else
        fputs("null", out);
    fputs((const char *)ls_page_tail, out);
    return ferror(out) == 0;
}

typedef struct kept_result {
    char *text;
    size_t length;
    FILE *file;
} kept_result;

static bool write_page(kept_result *kept, bool ok, json_t *pictures, FILE *out) {
    char *text = pictures != NULL ? json_dumps(pictures, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(pictures);
    ok = fclose(kept->file) == 0 && ok && text != NULL && ls_page_write(kept->text, kept->length, text, out);
    free(text);
    free(kept->text);
    return ok;
}

bool ls_report_html(const ls_comparison *comparison, FILE *out) {
    kept_result kept = {0};
    kept.file = open_memstream(&kept.text, &kept.length);
    return kept.file != NULL && write_page(&kept, ls_report_json(comparison, kept.file), ls_pictures_of_traces(comparison), out);
}

bool ls_report_checkpoints_html(const ls_checkpoint_report *report, FILE *out) {
    kept_result kept = {0};
    kept.file = open_memstream(&kept.text, &kept.length);
    return kept.file != NULL && write_page(&kept, ls_report_checkpoints_json(report, kept.file), ls_pictures_of_weights(report), out);
}
