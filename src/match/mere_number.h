/* Names that say nothing. */
#ifndef LS_MATCH_MERE_NUMBER_H
#define LS_MATCH_MERE_NUMBER_H

#include <stdbool.h>

/* Whether a name is a number, perhaps behind a word that says nothing: arr_12. */
bool ls_is_mere_number(const char *name);

#endif
