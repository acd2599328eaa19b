#include "shared/base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digest {
    EVP_MD_CTX *context;
};

enum status digest_new(struct digest **out, struct error *err)
{
    struct digest *digest = calloc(1, sizeof *digest);
    *out = NULL;
    if (digest)
        digest->context = EVP_MD_CTX_new();
    if (!digest || !digest->context || !EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL)) {
        if (digest)
            EVP_MD_CTX_free(digest->context);
        free(digest);
        return error_set(err, STATUS_INTERNAL, NULL, "libcrypto has no SHA-256");
    }
    *out = digest;
    return STATUS_OK;
}

void digest_update(struct digest *digest, const void *bytes, size_t size)
{
    EVP_DigestUpdate(digest->context, bytes, size);
}

static void write_hex(const unsigned char *raw, char *hex)
{
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

void digest_finish(struct digest *digest, char *hex)
{
    unsigned char raw[EVP_MAX_MD_SIZE] = {0};
    if (!digest)
        return;
    EVP_DigestFinal_ex(digest->context, raw, NULL);
    if (hex)
        write_hex(raw, hex);
    EVP_MD_CTX_free(digest->context);
    free(digest);
}

void digest_bytes(const void *bytes, size_t size, char hex[DIGEST_HEX_SIZE])
{
    unsigned char raw[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(bytes, size, raw, NULL, EVP_sha256(), NULL);
    write_hex(raw, hex);
}

enum status digest_file(const char *path, char hex[DIGEST_HEX_SIZE], size_t *size, struct error *err)
{
    enum { PIECE = 1 << 20 };
    enum status status = STATUS_OK;
    struct digest *digest = NULL;
    unsigned char *piece = malloc(PIECE);
    size_t got, total = 0;
    FILE *file = fopen(path, "rb");
    if (!file) {
        status = error_set(err, STATUS_NO_INPUT, path, "cannot open: %s", strerror(errno));
        goto cleanup;
    }
    if (!piece) {
        status = error_no_memory(err, PIECE, "reading a file");
        goto cleanup;
    }
    TRY(digest_new(&digest, err));
    while ((got = fread(piece, 1, PIECE, file)) > 0) {
        digest_update(digest, piece, got);
        total += got;
    }
    if (ferror(file))
        status = error_set(err, STATUS_IO, path, "cannot read: %s", strerror(errno));
    if (size)
        *size = total;
cleanup:
    digest_finish(digest, status == STATUS_OK ? hex : NULL);
    if (file)
        fclose(file);
    free(piece);
    return status;
}
