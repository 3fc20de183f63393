#include "fuzz_archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_archive(&ls_format_text, "fuzz.txt", data, size);
    return 0;
}
