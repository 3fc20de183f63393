/* The forward passes of a trace, as `ls` lists them and --passes numbers them. */
#ifndef LS_CLI_PASS_LIST_H
#define LS_CLI_PASS_LIST_H

#include "base/text.h"

/* Nothing for what is no trace, or has one pass only. */
void pass_list_put(const char *path, ls_text *out);

#endif
