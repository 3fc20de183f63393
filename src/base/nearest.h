/* Mistyped words. */
#ifndef LS_BASE_NEAREST_H
#define LS_BASE_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/* Number of letters to insert, delete, replace or exchange with their neighbour that turn one word into the other; SIZE_MAX for words of more
 * than 255 letters. */
size_t ls_typing_errors(const char *a, const char *b);
/* Whether a word is likely to be meant by what was typed: a third of its letters may be wrong, but at least one. */
bool ls_may_be_meant(const char *typed, const char *word);
/* Of two words, the one that is more likely to be meant; `best` may be NULL, and stays so if `word` isn't likely either. */
const char *ls_nearer(const char *typed, const char *best, const char *word);

#endif
