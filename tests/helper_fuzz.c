#define _GNU_SOURCE
#include "tests/helper_fuzz.h"

#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDERS = 8 }; /* test_corpus.c has all drivers in one process */

static char *folders[FOLDERS];
static int folder_count;

static void remove_own_folders(void)
{
    while (folder_count > 0) {
        remove_folder(folders[--folder_count]);
        free(folders[folder_count]);
    }
}

const char *fuzz_folder(void)
{
    if (folder_count == FOLDERS)
        abort();
    if (folder_count == 0)
        atexit(remove_own_folders);
    folders[folder_count] = memory_folder();
    return folders[folder_count++];
}

void fuzz_file(const char *in, const char *name, const void *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", in, name);
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size || close(file) != 0)
        abort();
}

void fuzz_seed(const char *name, uint8_t kind, const void *bytes, size_t size)
{
    char path[4096];
    const char *corpus = getenv("FUZZ_SEEDS");
    if (!corpus)
        return;
    snprintf(path, sizeof path, "%s/seed-%s", corpus, name);
    FILE *file = fopen(path, "wb");
    if (!file || fputc(kind, file) == EOF || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        abort();
}

void fuzz_seed_file(const char *name, uint8_t kind, const char *path)
{
    uint8_t *bytes;
    size_t size;
    if (!getenv("FUZZ_SEEDS"))
        return;
    if (file_read(path, 1 << 20, &bytes, &size, NULL) != STATUS_OK)
        abort();
    fuzz_seed(name, kind, bytes, size);
    free(bytes);
}

void fuzz_seal(uint8_t *bytes, size_t size, size_t header, const char *field)
{
    char digest[DIGEST_HEX_SIZE];
    const char *at = digest_find_seal((char *)bytes, header, field);
    if (!at)
        return;
    digest_sealed((char *)bytes, size, at, digest);
    memcpy(bytes + (at - (char *)bytes), digest, DIGEST_HEX_SIZE - 1);
}
