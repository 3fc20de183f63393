#include "report/cells.h"

#include <string.h>

int ls_columns_of(const char *text) {
    int columns = 0;
    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

void ls_put_cell(ls_text *out, const char *text, int width) {
    int have = ls_columns_of(text);
    if (have > width) {
        for (int cut = have - width + 1; cut > 0; cut--) {
            text++;
            while (((unsigned char)*text & 0xc0) == 0x80)
                text++;
        }
        ls_text_printf(out, "…%s", text);
        return;
    }
    ls_text_printf(out, "%s%*s", text, width - have, "");
}

void ls_put_wrapped(ls_text *out, const char *text, int indent, int width) {
    int column = indent;
    for (const char *word = text; *word != '\0';) {
        size_t length = strcspn(word, " ");
        char cell[256];
        size_t kept = length < sizeof cell ? length : sizeof cell - 1;
        memcpy(cell, word, kept);
        cell[kept] = '\0';
        int columns = ls_columns_of(cell);
        if (width > 0 && column > indent && column + columns + 1 > width) {
            ls_text_printf(out, "\n%*s", indent, "");
            column = indent;
        }
        ls_text_printf(out, "%s", column > indent ? " " : "");
        ls_text_append(out, word, length);
        column += columns + (column > indent);
        word += length + strspn(word + length, " ");
    }
    ls_text_printf(out, "\n");
}
