#include "fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_archive(&ls_format_ggml, "fuzz.bin", data, size);
    return 0;
}
