/* An HTML report: the template (src/report/page/) with a result's JSON and its pictures as blocks of data. */
#ifndef LS_REPORT_PAGE_H
#define LS_REPORT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The template in three parts, each with a 0 at its end: the two blocks of data go between them. scripts/embed-page writes it. */
extern const unsigned char ls_page_head[], ls_page_middle[], ls_page_tail[];

/* Writes a page for a result as --json writes it. `pictures`: as ls_pictures_of_traces() makes them; NULL where there are none. */
bool ls_page_write(const char *result, size_t length, const char *pictures, FILE *out);

#endif
