#include "result/result.h"

#include <math.h>
#include <string.h>

#include "base/escape.h"

/* XML has no way to write most control characters: they are escaped as on a terminal first. */
static void put_xml(const char *text, ls_text *out) {
    char escaped[2000];
    ls_escape(text, strlen(text), escaped, sizeof escaped);
    for (const char *c = escaped; *c != '\0'; c++)
        switch (*c) {
        case '\xef': /* U+FFFE and U+FFFF are no characters of XML */
            if (c[1] == '\xbf' && (c[2] == '\xbe' || c[2] == '\xbf')) {
                ls_text_printf(out, c[2] == '\xbe' ? "\\u{FFFE}" : "\\u{FFFF}");
                c += 2;
            } else {
                ls_text_append(out, c, 1);
            }
            break;
        case '&': ls_text_printf(out, "&amp;"); break;
        case '<': ls_text_printf(out, "&lt;"); break;
        case '>': ls_text_printf(out, "&gt;"); break;
        case '"': ls_text_printf(out, "&quot;"); break;
        default: ls_text_append(out, c, 1);
        }
}

static void put_attribute(const char *name, const char *value, ls_text *out) {
    ls_text_printf(out, " %s=\"", name);
    put_xml(value, out);
    ls_text_printf(out, "\"");
}

static void put_number(const char *name, double value, ls_text *out) {
    if (!isnan(value))
        ls_text_printf(out, "      <property name=\"%s\" value=\"%.12g\"/>\n", name, value);
}

static void put_property(const char *name, const char *value, ls_text *out) {
    if (*value == '\0')
        return;
    ls_text_printf(out, "      <property name=\"%s\"", name);
    put_attribute("value", value, out);
    ls_text_printf(out, "/>\n");
}

static void put_properties(const ls_case *c, ls_text *out) {
    static const char *const metrics[] = {"rel_l2", "max_abs", "cosine", "nmse", "max_rel", "mean_abs", "rmse"};
    ls_text_printf(out, "     <properties>\n");
    put_property("verdict", c->verdict, out);
    put_property("reference", c->reference, out);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0] && c->pair != NULL; i++)
        put_number(metrics[i], ls_result_number(json_object_get(c->pair, "metrics"), metrics[i]), out);
    put_number("tolerance", ls_result_number(c->pair, "tolerance"), out);
    ls_text_printf(out, "     </properties>\n");
}

/* What follows from an earlier failure is skipped: only where it begins is a failure. */
static void put_state(const ls_result *r, const ls_case *c, ls_text *out) {
    if (c->state == LS_CASE_FOLLOWS) {
        ls_text_printf(out, "     <skipped message=\"fails because of something that it was computed from\"/>\n");
        return;
    }
    if (c->state != LS_CASE_FAILS)
        return;
    ls_text message = {0};
    ls_text_printf(&message, "%s", c->verdict);
    const double tolerance = ls_result_number(c->pair, "tolerance");
    const json_t *first = json_object_get(r->json, "first_divergence"), *cause = json_array_get(json_object_get(first, "causes"), 0);
    if (!isnan(c->error))
        ls_text_printf(&message, ", error %.3g", c->error);
    if (!isnan(tolerance))
        ls_text_printf(&message, " (tolerance %.3g)", tolerance);
    if (cause != NULL && (c->pair == NULL || json_equal(json_object_get(c->pair, "candidate"), json_object_get(first, "candidate")))) {
        ls_text_printf(&message, "; cause: %s", ls_result_text(cause, "summary"));
        ls_text_printf(&message, *ls_result_text(cause, "where") != '\0' ? "; look at: %s" : "%s", ls_result_text(cause, "where"));
    }
    if (*c->reason != '\0')
        ls_text_printf(&message, ": %s", c->reason);
    ls_text_printf(out, "     <failure");
    put_attribute("type", c->verdict, out);
    put_attribute("message", message.data != NULL ? message.data : "", out);
    ls_text_printf(out, "/>\n");
    ls_text_done(&message);
}

static void put_case(const ls_result *r, const ls_case *c, ls_text *out) {
    ls_text_printf(out, "    <testcase");
    put_attribute("classname", c->group, out);
    put_attribute("name", c->name, out);
    ls_text_printf(out, ">\n");
    put_properties(c, out);
    put_state(r, c, out);
    ls_text_printf(out, "    </testcase>\n");
}

void ls_result_junit(const ls_result *r, ls_text *out) {
    const size_t failures = ls_result_count(r, true, LS_CASE_FAILS) + ls_result_count(r, false, LS_CASE_FAILS) + !ls_result_is_match(r), skipped = ls_result_count(r, true, LS_CASE_FOLLOWS);
    ls_text name = {0};
    ls_text_printf(&name, "%s against %s", ls_result_text(r->json, "candidate.path"), ls_result_text(r->json, "reference.path"));
    ls_text_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n  <testsuite tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\"",
                   r->count, failures, skipped, r->count, failures, skipped);
    put_attribute("name", name.data != NULL ? name.data : "lockstep", out);
    ls_text_printf(out, ">\n");
    for (size_t i = 0; i < r->count; i++)
        put_case(r, &r->cases[i], out);
    ls_text_printf(out, "  </testsuite>\n</testsuites>\n");
    ls_text_done(&name);
}
