/* Strict reading of JSON files: a field that is missing, has the wrong type or is out of range is STATUS_BAD_DATA, and
 * the message names the file and the field ("splits[0].shards[3].bytes"). Trees are cJSON's and are written with
 * cJSON's functions, which this header includes. */
#ifndef FORMATS_JSON_H
#define FORMATS_JSON_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* An object (or array element) in a file, with its place for messages. Borrows node and path. */
struct json_place {
    const cJSON *node;
    const char *path; /* of the file */
    char place[96];   /* "" for the root */
};

/* Parses a whole text that must be one object. The caller frees *root with cJSON_Delete. STATUS_BAD_DATA, or
 * STATUS_INTERNAL when out of memory. */
enum status json_parse(cJSON **root, const char *text, size_t size, const char *path, struct error *err);

/* The text of a tree, as cJSON_Print or (compact) cJSON_PrintUnformatted makes it; takes the tree. NULL if memory ran
 * out here *or while this thread built the tree*: cJSON_Add... may be called without looking at what it returns.
 * cJSON_free frees the text. */
char *json_text(cJSON *tree, bool compact);

/* cJSON_AddItemToObject and cJSON_AddItemToArray that take the item in any case: it is freed if there is no memory for
 * it, or no object. They return it, or NULL, to which cJSON's functions add nothing. */
cJSON *json_add(cJSON *object, const char *name, cJSON *item);
cJSON *json_append(cJSON *array, cJSON *item);

/* True if memory ran out while this thread built trees since the last json_text, json_parse or call of this: for trees
 * that are compared and not printed. */
bool json_out_of_memory(void);

/* ---- sealed files: FORMAT.md, "Seals" ---- */
/* The text of a tree, which gets one more field, JSON_SEAL: the SHA-256 of the text's own bytes with the digits of the
 * seal as zeros. Ends in a line feed. Takes the tree; NULL when out of memory; cJSON_free frees the text. */
#define JSON_SEAL "file_sha256"
char *json_sealed_text(cJSON *tree);
/* json_parse that checks the seal. A text without one is accepted: files of the first versions have none. */
enum status json_parse_sealed(cJSON **root, const char *text, size_t size, const char *path, struct error *err);
struct json_place json_root(const cJSON *root, const char *path);

enum status json_object(const struct json_place *at, const char *field, struct json_place *out, struct error *err);
/* An array of at most `limit` elements; *out's node is the array, *count its length. */
enum status json_array(const struct json_place *at, const char *field, int limit, struct json_place *out, int *count,
                       struct error *err);
/* The first element (element->node NULL before the call) or the next one of an array, which must be an object or a
 * string. */
enum status json_element(const struct json_place *array, int index, struct json_place *element, struct error *err);

/* The string of `field`, or of `at` itself if field is NULL. *out belongs to the arena. */
enum status json_string(const struct json_place *at, const char *field, struct arena *arena, const char **out,
                        struct error *err);
enum status json_integer(const struct json_place *at, const char *field, int64_t low, int64_t high, int64_t *out,
                         struct error *err);
enum status json_number(const struct json_place *at, const char *field, double *out, struct error *err);
/* 64 hexadecimal digits. */
enum status json_digest(const struct json_place *at, const char *field, char out[65], struct error *err);
/* A decimal string, since 64-bit numbers do not fit into JSON's doubles. */
enum status json_u64(const struct json_place *at, const char *field, uint64_t *out, struct error *err);
/* One of names[count]; *out gets its index. */
enum status json_choice(const struct json_place *at, const char *field, const char *const *names, int count, int *out,
                        struct error *err);

/* Finds the first difference of two trees: path[size] gets its place, *a and *b its nodes (NULL if a tree lacks it).
 * False if they are equal. Fields named in ignore[] (NULL-terminated) are skipped. */
bool json_difference(const cJSON *left, const cJSON *right, const char *const *ignore, char *path, size_t size,
                     const cJSON **a, const cJSON **b);

/* Adds a float as the shortest decimal that reads back as the same float (0.485, not 0.48500001430511475). */
cJSON *json_float(float value);

#endif
