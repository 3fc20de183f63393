/* Lists of words separated by spaces. */
#ifndef LS_OP_WORDS_H
#define LS_OP_WORDS_H

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static inline bool ls_words_hold(const char *list, const char *word, int (*compare)(const char *, const char *, size_t)) {
    size_t length = strlen(word);
    while (*list != '\0') {
        size_t own = strcspn(list, " ");
        if (own == length && compare(list, word, length) == 0)
            return true;
        list += own + (list[own] == ' ');
    }
    return false;
}

static inline bool ls_words_have(const char *list, const char *word) { return ls_words_hold(list, word, strncmp); }
static inline bool ls_words_have_in_any_case(const char *list, const char *word) { return ls_words_hold(list, word, strncasecmp); }

#endif
