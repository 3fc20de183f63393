#include "names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool is_auto_name(const char *name) {
    if (*name == '\0' || strncmp(name, " (", 2) == 0)
        return true; /* " (view)": a view of a tensor without a name */
    if (strncmp(name, "node_", 5) != 0 && strncmp(name, "leaf_", 5) != 0)
        return false;
    size_t digits = strspn(name + 5, "0123456789");
    return digits > 0 && (name[5 + digits] == '\0' || strncmp(name + 5 + digits, " (", 2) == 0);
}

static int number_at(const char *text, size_t length) {
    long value = 0;
    if (length == 0 || length > 5)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return (int)value;
}

int layer_of_name(const char *name) {
    const char *block = strstr(name, "blk.");
    if (block != NULL)
        return number_at(block + 4, strspn(block + 4, "0123456789"));
    const char *note = strstr(name, " (");
    size_t end = note != NULL ? (size_t)(note - name) : strlen(name), start = end;
    while (start > 0 && isdigit((unsigned char)name[start - 1]))
        start--;
    bool suffix = start > 0 && name[start - 1] == '-';
    bool cache = start > 1 && name[start - 1] == 'l' && name[start - 2] == '_' && strncmp(name, "cache_", 6) == 0;
    return suffix || cache ? number_at(name + start, end - start) : -1;
}
