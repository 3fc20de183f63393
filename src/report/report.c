#include "report/report.h"

bool ls_report_write(ls_report_format format, const ls_comparison *comparison, FILE *out) {
#define LS_REPORT_ROW(id, option, help, traces, checkpoints) traces,
    static bool (*const writers[])(const ls_comparison *, FILE *) = {
#include "report/format_table.h"
    };
#undef LS_REPORT_ROW
    return writers[format](comparison, out);
}

bool ls_report_write_checkpoints(ls_report_format format, const ls_checkpoint_report *report, FILE *out) {
#define LS_REPORT_ROW(id, option, help, traces, checkpoints) checkpoints,
    static bool (*const writers[])(const ls_checkpoint_report *, FILE *) = {
#include "report/format_table.h"
    };
#undef LS_REPORT_ROW
    return writers[format](report, out);
}
