/* Every process that loads this library reports that to the recorder, with facts that explain
 * why nothing was recorded: the program, Python options that keep our start-up hook from being
 * loaded, and, when it ends, the libraries it computed with (launch/facts.h). */
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/channel.h"

/* Never waits; a fact that can't be sent is lost. */
static void tell(const char *key, const char *value) {
    const char *name = getenv(LS_CHANNEL_ENV);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char fact[280];
    if (name == NULL || name[0] != '@')
        return;
    int saved = errno;
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s-facts", name + 1);
    int bytes = snprintf(fact, sizeof fact, "%s%s", key, value);
    int s = (size_t)length < sizeof address.sun_path - 1 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (s >= 0) {
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
        if ((size_t)bytes < sizeof fact)
            sendto(s, fact, (size_t)bytes, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address, size);
        close(s);
    }
    errno = saved;
}

/* Finds the given Python options that disable sitecustomize or PYTHONPATH: single letters, up
 * to the name of the program; W and X take an argument. */
static void python_options(int argc, char **argv, char out[4]) {
    static const char shutting[] = "IES";
    for (int i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != '\0' && argv[i][1] != '-'; i++)
        for (const char *c = argv[i] + 1; *c != '\0'; c++) {
            if (*c == 'c' || *c == 'm')
                return;
            if (*c == 'W' || *c == 'X') {
                i += c[1] == '\0';
                break;
            }
            if (strchr(shutting, *c) != NULL && strchr(out, *c) == NULL)
                out[strlen(out)] = *c;
        }
}

__attribute__((constructor)) static void begin(int argc, char **argv) {
    char program[PATH_MAX], options[4 + 1] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (getenv(LS_CHANNEL_ENV) == NULL || length <= 0)
        return;
    program[length] = '\0';
    const char *name = strrchr(program, '/') != NULL ? strrchr(program, '/') + 1 : program;
    if (strncmp(name, "python", 6) == 0 || strncmp(name, "pypy", 4) == 0) {
        python_options(argc, argv, options);
        tell(*options != '\0' ? "python=-" : "python", options);
    }
    tell("process=", program);
}

static int tell_library(struct dl_phdr_info *info, size_t size, void *context) {
    static const struct {
        const char *part, *fact;
    } known[] = {{"libggml", "ggml"}, {"libtorch_cpu", "libtorch"}, {"libonnxruntime", "framework=onnxruntime"},
                 {"libtensorflow", "framework=tensorflow"}, {"libopenvino", "framework=openvino"}};
    const char *name = info->dlpi_name != NULL ? strrchr(info->dlpi_name, '/') : NULL;
    (void)size, (void)context;
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(name + 1, known[i].part, strlen(known[i].part)) == 0)
            tell(known[i].fact, "");
    if (strstr(name, "llama") != NULL || strstr(name, "whisper") != NULL) /* may contain its own ggml */
        tell("library=", info->dlpi_name);
    return 0;
}

__attribute__((destructor)) static void end(void) {
    if (getenv(LS_CHANNEL_ENV) != NULL)
        dl_iterate_phdr(tell_library, NULL);
}
