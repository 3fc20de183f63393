#include "command_line.h"

#include <string.h>

static struct {
    int count;
    char **words;
    ls_text text;
} line;

void command_line_keep(int count, char **words) {
    line.count = count;
    line.words = words;
}

static void put_quoted(const char *word, ls_text *out) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    if (*word != '\0' && strspn(word, plain) == strlen(word)) {
        ls_text_printf(out, "%s", word);
        return;
    }
    ls_text_printf(out, "'");
    for (; *word != '\0'; word++)
        ls_text_append(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    ls_text_printf(out, "'");
}

void command_line_with(const char *option, ls_text *out) {
    ls_text_printf(out, "lockstep");
    for (int k = 1; k < line.count; k++) {
        if (option != NULL && strcmp(line.words[k], "--") == 0) {
            ls_text_printf(out, " %s", option);
            option = NULL;
        }
        ls_text_printf(out, " ");
        put_quoted(line.words[k], out);
    }
    if (option != NULL)
        ls_text_printf(out, " %s", option);
}

void command_line_of(const char *command, const char *reference, const char *candidate, ls_text *out) {
    ls_text_printf(out, "lockstep %s ", command);
    put_quoted(reference, out);
    ls_text_printf(out, " ");
    put_quoted(candidate, out);
}

const char *command_line(void) {
    if (line.count > 0 && line.text.length == 0)
        command_line_with(NULL, &line.text);
    return line.text.data;
}
