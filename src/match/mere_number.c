#include "match/mere_number.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

bool ls_is_mere_number(const char *name) {
    static const char *const words[] = {"arr_", "tensor_", "tensor", "item_", "output_", "t_", "t", "x", ""};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(name, words[i], length) != 0 || !isdigit((unsigned char)name[length]))
            continue;
        while (isdigit((unsigned char)name[length]))
            length++;
        if (name[length] == '\0')
            return true;
    }
    return false;
}
