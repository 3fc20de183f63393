/* The input becomes x/data.pkl in a file like those of torch.save, with a record x/data/0 of
 * 64 bytes, because mutations of a whole file rarely keep the zip's offsets right. */
#include "fuzz_archive.h"

enum { RECORD = 64, ROOM = RECORD + 1024 };

static void put(uint8_t **to, uint64_t value, int width) {
    for (int i = 0; i < width; i++)
        *(*to)++ = (uint8_t)(i < 8 ? value >> 8 * i : 0);
}

static void put_bytes(uint8_t **to, const void *bytes, size_t size) {
    if (size > 0)
        memcpy(*to, bytes, size);
    *to += size;
}

/* Writes a local header, or with an offset a central one, of a stored member without a CRC. */
static void put_header(uint8_t **to, const char *name, size_t size, const size_t *offset) {
    put(to, offset != NULL ? 0x02014b50 : 0x04034b50, 4);
    put(to, 0, offset != NULL ? 16 : 14);
    put(to, size, 4);
    put(to, size, 4);
    put(to, strlen(name), 2);
    put(to, 0, offset != NULL ? 12 : 2);
    if (offset != NULL)
        put(to, *offset, 4);
    put_bytes(to, name, strlen(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t record[RECORD], *zip = malloc(size + ROOM), *at = zip;
    if (zip == NULL)
        return 0;
    memset(record, 0x3f, sizeof record);
    size_t first = 0, second, directory;
    put_header(&at, "x/data.pkl", size, NULL);
    put_bytes(&at, data, size);
    second = (size_t)(at - zip);
    put_header(&at, "x/data/0", sizeof record, NULL);
    put_bytes(&at, record, sizeof record);
    directory = (size_t)(at - zip);
    put_header(&at, "x/data.pkl", size, &first);
    put_header(&at, "x/data/0", sizeof record, &second);
    size_t length = (size_t)(at - zip) - directory;
    put(&at, 0x06054b50, 4);
    put(&at, 0, 4);
    put(&at, 2, 2);
    put(&at, 2, 2);
    put(&at, length, 4);
    put(&at, directory, 4);
    put(&at, 0, 2);
    fuzz_archive(&ls_format_torch, "fuzz.pt", zip, (size_t)(at - zip));
    free(zip);
    return 0;
}
