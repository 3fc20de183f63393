/* A trace whose log and segment are both hostile; the input is the log, a NUL, and the segment. It is read as a
 * trace and as a container, its directory is restored, and it is read again. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/restore.h"
#include "fuzz_archive.h"
#include "trace/trace.h"

static char folder[64], log_path[96], segment_path[96];

static void remove_folder(void) {
    unlink(log_path);
    unlink(segment_path);
    *strrchr(segment_path, '/') = '\0';
    rmdir(segment_path);
    rmdir(folder);
}

static void make_folder(void) {
    char tensors[96];
    if (folder[0] != '\0')
        return;
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/lockstep-fuzz-XXXXXX" : "/tmp/lockstep-fuzz-XXXXXX");
    if (mkdtemp(folder) == NULL)
        abort();
    snprintf(tensors, sizeof tensors, "%s/tensors", folder);
    snprintf(log_path, sizeof log_path, "%s/trace.jsonl", folder);
    snprintf(segment_path, sizeof segment_path, "%s/tensors/0000.npz", folder);
    if (mkdir(tensors, 0700) != 0 || atexit(remove_folder) != 0)
        abort();
}

static void write_file(const char *path, const uint8_t *bytes, size_t count) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, bytes, count) != (ssize_t)count || close(file) != 0)
        abort();
}

static void see_trace(void) {
    lockstep_error error = {0};
    ls_trace *trace;
    ls_hold hold;
    if (ls_trace_open(folder, &trace, &error) != LOCKSTEP_OK) {
        if (error.message[0] == '\0')
            abort(); /* a failure must have a message */
        return;
    }
    for (size_t i = 0; i < trace->node_count && i < 16; i++) {
        if (!ls_node_has_values(&trace->nodes[i]) || ls_trace_hold(trace, i, &hold, &error) != LOCKSTEP_OK)
            continue;
        double values[2];
        uint64_t count = ls_view_elements(&hold.view);
        if (count > 0) { /* the first element, and the last */
            ls_view_read_f64(&hold.view, 0, 1, &values[0]);
            ls_view_read_f64(&hold.view, count - 1, 1, &values[1]);
        }
        ls_hold_release(&hold);
    }
    ls_trace_close(trace);
}

static bool see_archive(void) {
    lockstep_archive *archive;
    if (lockstep_archive_open(folder, &archive, NULL) != LOCKSTEP_OK)
        return false;
    for (size_t i = 0; i < archive->tensor_count && i < 16; i++)
        fuzz_read(archive, i);
    lockstep_archive_close(archive);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t log = nul != NULL ? (size_t)(nul - data) : size, restored;
    make_folder();
    write_file(log_path, data, log);
    write_file(segment_path, nul != NULL ? nul + 1 : data, nul != NULL ? size - log - 1 : 0);
    see_trace();
    bool read = see_archive();
    if (ls_restore_directories(folder, &restored, NULL) == LOCKSTEP_OK && (!see_archive() || !read))
        abort(); /* what could be read before must still be readable */
    return 0;
}
