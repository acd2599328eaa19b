/* What fuzz drivers share: a folder of their own, for readers that take one, and the first inputs of their corpus. */
#ifndef TESTS_HELPER_FUZZ_H
#define TESTS_HELPER_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A new folder (memory_folder), which is removed when the process ends. */
const char *fuzz_folder(void);
/* Writes folder/name, or aborts. */
void fuzz_file(const char *folder, const char *name, const void *bytes, size_t size);
/* With the environment variable FUZZ_SEEDS, the folder of the corpus: writes seed NAME, the byte `kind`, then bytes. */
void fuzz_seed(const char *name, uint8_t kind, const void *bytes, size_t size);
/* The same with the content of a file of this repository. */
void fuzz_seed_file(const char *name, uint8_t kind, const char *path);
/* Makes the seal (or digest) of a file right: the 64 digits behind `field` in the first `header` of its bytes. */
void fuzz_seal(uint8_t *bytes, size_t size, size_t header, const char *field);
#define FUZZ_JSON_SEAL "\"" JSON_SEAL "\":\t\""

#endif
