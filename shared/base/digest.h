/* SHA-256 (FIPS 180-4), by OpenSSL's libcrypto, which uses the processor's SHA instructions. */
#ifndef SHARED_BASE_DIGEST_H
#define SHARED_BASE_DIGEST_H

#include "shared/base/error.h"
#include "shared/base/folder.h"
#include <stddef.h>

enum { DIGEST_HEX_SIZE = 65 }; /* 64 hexadecimal digits and the terminating zero */

/* Only digest_new needs memory: the others cannot fail. */
struct digest;
enum status digest_new(struct digest **out, struct error *err);
void digest_update(struct digest *digest, const void *bytes, size_t size);
/* Finishes and frees the digest. hex[DIGEST_HEX_SIZE] may be NULL, to free it only. */
void digest_finish(struct digest *digest, char *hex);

void digest_bytes(const void *bytes, size_t size, char hex[DIGEST_HEX_SIZE]);

/* A seal is a digest that lies in the bytes that it covers, computed with zeros in the place of its own 64 digits.
 * Finds the digits in bytes[size]: behind the last place where `field` stands, such as "\"file_sha256\":\"". NULL if
 * there is none. */
const char *digest_find_seal(const char *bytes, size_t size, const char *field);
/* The digest of bytes[size] with zeros instead of the 64 digits at `seal`, which lies in bytes. */
void digest_sealed(const char *bytes, size_t size, const char *seal, char hex[DIGEST_HEX_SIZE]);

/* The digest of a file's content, read in pieces; *size (may be NULL) gets its length. STATUS_NO_INPUT, STATUS_IO. */
enum status digest_file(const char *path, char hex[DIGEST_HEX_SIZE], size_t *size, struct error *err);
/* The same for a name in a folder; a link is not followed. */
enum status digest_in_folder(const struct open_folder *folder, const char *name, char hex[DIGEST_HEX_SIZE],
                             size_t *size, struct error *err);

#endif
