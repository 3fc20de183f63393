/* The files that a comparison can be written to, one row each. Each row is an option of `diff` and `check`.
 * Included with LS_REPORT_ROW defined as what is to be made of a row:
 *
 *   LS_REPORT_ROW(id, option, help, traces, checkpoints)
 *
 * The functions are `bool TRACES(const ls_comparison *, FILE *)` and `bool CHECKPOINTS(const ls_checkpoint_report *, FILE *)`;
 * false when the file can't be written. This file has no include guard. */
LS_REPORT_ROW(JSON, "--json", "write the result as JSON; - for standard output, instead of the table", ls_report_json, ls_report_checkpoints_json)
LS_REPORT_ROW(HTML, "--html", "write a report that a browser opens, in one file (docs/reports.md)", ls_report_html, ls_report_checkpoints_html)
