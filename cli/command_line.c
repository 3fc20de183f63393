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

/* Whether a word is an option that names a file to write, or an earlier result, as the next word or after "=": its number of words. */
static int words_of_output(const char *word) {
    static const char *const options[] = {"--json", "--html", "--junit", "--markdown", "--baseline"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const size_t length = strlen(options[i]);
        if (strncmp(word, options[i], length) == 0 && (word[length] == '\0' || word[length] == '='))
            return word[length] == '=' ? 1 : 2;
    }
    return 0;
}

void command_line_with(const char *option, ls_text *out) {
    bool is_own = true; /* not yet those of a program that is run */
    ls_text_printf(out, "lockstep");
    for (int k = 1; k < line.count; k++) {
        const int skipped = is_own ? words_of_output(line.words[k]) : 0;
        is_own = is_own && strcmp(line.words[k], "--") != 0;
        if (skipped > 0) {
            k += skipped - 1;
            continue;
        }
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
