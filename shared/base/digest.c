/* libcrypto's SHA256_* functions are deprecated in favour of EVP, but EVP allocates memory in every call and may fail
 * in any of them, also halfway: a digest that cannot fail is worth more. They use the same code for the processor. */
#define OPENSSL_SUPPRESS_DEPRECATED
#define _POSIX_C_SOURCE 200809L
#include "shared/base/digest.h"

#include "shared/base/file_calls.h"
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct digest {
    SHA256_CTX state;
};

enum status digest_new(struct digest **out, struct error *err)
{
    struct digest *digest = calloc(1, sizeof *digest);
    *out = digest;
    if (!digest)
        return error_no_memory(err, sizeof *digest, "a digest");
    SHA256_Init(&digest->state);
    return STATUS_OK;
}

void digest_update(struct digest *digest, const void *bytes, size_t size)
{
    SHA256_Update(&digest->state, bytes, size);
}

static void finish(SHA256_CTX *state, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[SHA256_DIGEST_LENGTH];
    SHA256_Final(raw, state);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        hex[2 * i] = digits[raw[i] >> 4];
        hex[2 * i + 1] = digits[raw[i] & 15];
    }
    hex[DIGEST_HEX_SIZE - 1] = 0;
}

void digest_finish(struct digest *digest, char *hex)
{
    if (digest && hex)
        finish(&digest->state, hex);
    free(digest);
}

void digest_bytes(const void *bytes, size_t size, char hex[DIGEST_HEX_SIZE])
{
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, bytes, size);
    finish(&state, hex);
}

const char *digest_find_seal(const char *bytes, size_t size, const char *field)
{
    const size_t length = strlen(field), least = length + DIGEST_HEX_SIZE - 1;
    for (size_t at = size < least ? 0 : size - least + 1; at-- > 0;)
        if (memcmp(bytes + at, field, length) == 0)
            return bytes + at + length;
    return NULL;
}

void digest_sealed(const char *bytes, size_t size, const char *seal, char hex[DIGEST_HEX_SIZE])
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    const size_t before = (size_t)(seal - bytes), digits = DIGEST_HEX_SIZE - 1;
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, bytes, before);
    SHA256_Update(&state, zeros, digits);
    SHA256_Update(&state, seal + digits, size - before - digits);
    finish(&state, hex);
}

static enum status digest_descriptor(int file, const char *path, char hex[DIGEST_HEX_SIZE], size_t *size,
                                     struct error *err)
{
    enum { PIECE = 1 << 18 };
    unsigned char *piece = malloc(PIECE);
    SHA256_CTX state;
    size_t total = 0;
    ssize_t got;
    if (!piece)
        return error_no_memory(err, PIECE, path);
    SHA256_Init(&state);
    while ((got = RETRY(read(file, piece, PIECE))) > 0) {
        SHA256_Update(&state, piece, (size_t)got);
        total += (size_t)got;
    }
    free(piece);
    if (got < 0)
        return file_call_failed(err, STATUS_IO, path, "cannot read");
    finish(&state, hex);
    if (size)
        *size = total;
    return STATUS_OK;
}

static enum status digest_path(int folder, const char *name, int flags, const char *path, char hex[DIGEST_HEX_SIZE],
                               size_t *size, struct error *err)
{
    int file = file_call_open(folder, name, O_RDONLY | flags, 0);
    if (file < 0)
        return file_call_failed(err, STATUS_NO_INPUT, path, "cannot open");
    enum status status = digest_descriptor(file, path, hex, size, err);
    close(file);
    return status;
}

enum status digest_file(const char *path, char hex[DIGEST_HEX_SIZE], size_t *size, struct error *err)
{
    return digest_path(AT_FDCWD, path, 0, path, hex, size, err);
}

enum status digest_in_folder(const struct open_folder *folder, const char *name, char hex[DIGEST_HEX_SIZE],
                             size_t *size, struct error *err)
{
    char path[FOLDER_PATH_SIZE];
    return digest_path(folder->descriptor, name, O_NOFOLLOW | O_NONBLOCK, folder_place(path, folder, name), hex, size,
                       err);
}
