/* The files that a comparison of traces can be written to, one row each. Each row is an option of `diff` and `check`.
 * Included with LS_REPORT_ROW defined as what is to be made of a row:
 *
 *   LS_REPORT_ROW(id, option, help, function)
 *
 * The function is `bool FUNCTION(const ls_comparison *, FILE *)`; false when the file can't be written. This file
 * has no include guard. */
LS_REPORT_ROW(JSON, "--json", "write the result as JSON; - for standard output, instead of the table", ls_report_json)
