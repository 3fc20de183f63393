#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 255 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* A row of the table of optimal string alignment; `before` and `last` are the two above it. */
static void fill_row(const char *a, const char *b, size_t i, size_t columns, const size_t *before, const size_t *last, size_t *row) {
    row[0] = i;
    for (size_t k = 1; k <= columns; k++) {
        row[k] = least(least(last[k] + 1, row[k - 1] + 1), last[k - 1] + (a[i - 1] != b[k - 1]));
        if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
            row[k] = least(row[k], before[k - 2] + 1);
    }
}

size_t ls_typing_errors(const char *a, const char *b) {
    size_t rows[3][LONGEST + 1];
    const size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return SIZE_MAX;
    for (size_t k = 0; k <= m; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= n; i++)
        fill_row(a, b, i, m, rows[(i + 1) % 3], rows[(i - 1) % 3], rows[i % 3]);
    return rows[n % 3][m];
}

bool ls_may_be_meant(const char *typed, const char *word) {
    const size_t errors = ls_typing_errors(typed, word), length = strlen(word);
    return errors <= (length >= 6 ? length / 3 : 1) || (strlen(typed) >= 3 && strncmp(word, typed, strlen(typed)) == 0);
}

const char *ls_nearer(const char *typed, const char *best, const char *word) {
    if (!ls_may_be_meant(typed, word))
        return best;
    return best == NULL || ls_typing_errors(typed, word) < ls_typing_errors(typed, best) ? word : best;
}
