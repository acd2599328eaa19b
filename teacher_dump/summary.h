/* The summary of a cache for the user, as text and as JSON. */
#ifndef TEACHER_DUMP_SUMMARY_H
#define TEACHER_DUMP_SUMMARY_H

#include "formats/cache/cache.h"
#include "formats/json.h"
#include <stdio.h>

/* Splits, accuracy of the teacher, bytes; as text. */
void summary_print(const struct cache_manifest *manifest, FILE *out);
/* The same as fields of `object`. */
void summary_to_json(const struct cache_manifest *manifest, cJSON *object);
/* A table of the recorded features; nothing if there are none. samples: of the training split. */
void summary_print_features(const struct cache_manifest *manifest, uint64_t samples, FILE *out);
/* The same as an array `features` of `object`. */
void summary_features_to_json(const struct cache_manifest *manifest, uint64_t samples, cJSON *object);
/* The numbers of the check as a field of `object`, if there was one. */
void summary_check_to_json(const struct cache_check *check, cJSON *object);
/* "12.3 MB" in decimal units. */
const char *summary_bytes(uint64_t bytes, char text[32]);
/* Prints and frees a JSON object. STATUS_INTERNAL when out of memory. */
enum status summary_print_json(cJSON *object, struct error *err);

#endif
