#include "fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_archive(&ls_format_npy, "fuzz.npy", data, size);
    return 0;
}
