/* Reads and writes a graph's weights as safetensors. */
#include "formats/export/safetensors.h"

#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_FILE = (size_t)4 << 30;
static const char BATCHES[] = ".num_batches_tracked", MEAN[] = ".running_mean";
/* The seal of our own files: a string of __metadata__, over all bytes of the file. */
static const char SEAL[] = "file_sha256", SEAL_FIELD[] = "\"file_sha256\":\"";
static const char NO_SEAL[] = "0000000000000000000000000000000000000000000000000000000000000000";

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* ---- reading ---- */

/* Names for a message: the first few, then how many more there are. */
struct name_list {
    char text[400];
    size_t used;
    int count;
};

static void add_name(struct name_list *list, const char *name)
{
    if (list->count++ < 4)
        list->used += (size_t)snprintf(list->text + list->used, sizeof list->text - list->used, "%s%.80s",
                                       list->count > 1 ? ", " : "", name);
}

static bool has_weight_dims(const struct safetensors_entry *entry, const struct weight *weight)
{
    const int rank = weight->saved_rank ? weight->saved_rank : weight->rank,
              *dims = weight->saved_rank ? weight->saved_dims : weight->dims;
    for (int i = 0; i < entry->rank && i < rank; i++)
        if (entry->dims[i] != dims[i])
            return false;
    return entry->rank == rank;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Checks that the graph's weights and the file's tensors have the same names and shapes. */
static enum status check_names(const struct graph *graph, const struct safetensors *file, const char *path,
                               struct error *err)
{
    struct name_list missing = {0}, extra = {0}, different = {0};
    size_t count = (size_t)graph->weight_count;
    const char **names = malloc((count + 1) * sizeof *names);
    if (!names)
        return error_no_memory(err, count * sizeof *names, "a list of names");
    for (size_t i = 0; i < count; i++) {
        const struct safetensors_entry *entry = safetensors_find(file, graph->weights[i].name);
        names[i] = graph->weights[i].name;
        if (graph->weights[i].literal)
            continue;
        if (!entry)
            add_name(&missing, names[i]);
        else if (!has_weight_dims(entry, graph_weight_source(graph, &graph->weights[i])))
            add_name(&different, names[i]);
    }
    qsort(names, count, sizeof *names, compare_strings);
    for (size_t i = 0; i < file->count; i++)
        if (!ends_with(file->entries[i].name, BATCHES + 1) &&
            !bsearch(&file->entries[i].name, names, count, sizeof *names, compare_strings))
            add_name(&extra, file->entries[i].name);
    free(names);
    if (missing.count + extra.count + different.count == 0)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, path,
                     "has the weights of another network: %d missing (%s), %d extra (%s), %d of another shape (%s)",
                     missing.count, missing.text, extra.count, extra.text, different.count, different.text);
}

static enum status read_range(const cJSON *pair, const char *path, float *range, struct error *err)
{
    const cJSON *low = cJSON_GetArrayItem(pair, 0), *high = cJSON_GetArrayItem(pair, 1);
    if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2 || !cJSON_IsNumber(low) || !cJSON_IsNumber(high) ||
        !(fabs(low->valuedouble) <= (double)FLT_MAX && fabs(high->valuedouble) <= (double)FLT_MAX &&
          low->valuedouble <= high->valuedouble))
        return error_set(err, STATUS_BAD_DATA, path, "__metadata__.int8_ranges: %.200s is not [low, high]",
                         pair->string);
    range[0] = (float)low->valuedouble;
    range[1] = (float)high->valuedouble;
    return STATUS_OK;
}

static enum status read_ranges(struct graph *graph, const char *text, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    cJSON *json = NULL;
    if (text)
        TRY(json_parse(&json, text, strlen(text), path, err));
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const cJSON *pair = cJSON_GetObjectItemCaseSensitive(json, node->name);
        if (node->op != OP_QUANTISE)
            continue;
        float *range = graph->weights[node->weight].data;
        range[0] = 1;
        range[1] = -1;
        if (pair)
            TRY(read_range(pair, path, range, err));
    }
cleanup:
    cJSON_Delete(json);
    return status;
}

/* Files of other programs, and of our first versions, have no seal. */
static enum status check_seal(const uint8_t *bytes, size_t size, const char *path, struct error *err)
{
    char digest[DIGEST_HEX_SIZE];
    size_t header = 0;
    for (int i = 0; i < 8; i++)
        header |= (size_t)bytes[i] << (8 * i);
    const char *seal = digest_find_seal((const char *)bytes, 8 + header, SEAL_FIELD);
    if (!seal)
        return STATUS_OK;
    digest_sealed((const char *)bytes, size, seal, digest);
    if (memcmp(seal, digest, DIGEST_HEX_SIZE - 1) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_BAD_DATA, path,
                     "was changed or damaged: its bytes do not have the SHA-256 that its metadata says");
}

enum status safetensors_read_weights(struct graph *graph, const uint8_t *bytes, size_t size, const char *path,
                                     struct error *err)
{
    enum status status = STATUS_OK;
    struct safetensors file;
    TRY(safetensors_open(&file, bytes, size, path, err));
    TRY(check_seal(bytes, size, path, err));
    TRY(check_names(graph, &file, path, err));
    for (int i = 0; i < graph->weight_count; i++) {
        struct weight *weight = &graph->weights[i];
        if (weight->literal || weight->copy_of)
            continue;
        TRY(safetensors_floats(safetensors_find(&file, weight->name), path, weight->data, err));
        for (size_t k = 0; k < weight->count; k++)
            if (!isfinite(weight->data[k]))
                FAIL(error_set(err, STATUS_BAD_DATA, path, "tensor '%.200s' is not finite at element %zu", weight->name,
                               k));
    }
    TRY(read_ranges(graph, file.ranges, path, err));
cleanup:
    safetensors_close(&file);
    return status;
}

enum status safetensors_read_weights_file(struct graph *graph, const char *path, struct error *err)
{
    unsigned char *bytes;
    size_t size;
    enum status status = file_read(path, MAX_FILE, &bytes, &size, err);
    if (status == STATUS_OK)
        status = safetensors_read_weights(graph, bytes, size, path, err);
    free(bytes);
    return status;
}

/* ---- writing ---- */

/* {"dtype": dtype, "shape": dims, "data_offsets": [begin, end]} as a member of json. */
static bool add_entry(cJSON *json, const char *name, const char *dtype, const int *dims, int rank, size_t begin,
                      size_t end)
{
    double offsets[2] = {(double)begin, (double)end};
    cJSON *entry = cJSON_AddObjectToObject(json, name);
    return entry && cJSON_AddStringToObject(entry, "dtype", dtype) &&
           json_add(entry, "shape", cJSON_CreateIntArray(dims, rank)) &&
           json_add(entry, "data_offsets", cJSON_CreateDoubleArray(offsets, 2));
}

/* The known ranges of a graph as a member of the metadata, if there are any. */
static bool add_ranges(cJSON *metadata, const struct graph *graph)
{
    cJSON *ranges = cJSON_CreateObject();
    bool ok = ranges;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const float *range = node->op == OP_QUANTISE ? graph->weights[node->weight].data : NULL;
        if (!range || range[0] > range[1])
            continue;
        cJSON *pair = cJSON_AddArrayToObject(ranges, node->name);
        ok = ok && json_append(pair, json_float(range[0])) && json_append(pair, json_float(range[1]));
    }
    if (ok && ranges->child) {
        char *text = cJSON_PrintUnformatted(ranges);
        ok = text && cJSON_AddStringToObject(metadata, "int8_ranges", text);
        cJSON_free(text);
    }
    cJSON_Delete(ranges);
    return ok;
}

/* The header of a graph's weights: the 8-byte counters first, so that everything is aligned. NULL: no memory. */
static char *header_text(const struct graph *graph, size_t *data_size)
{
    cJSON *json = cJSON_CreateObject(), *metadata = cJSON_AddObjectToObject(json, "__metadata__");
    bool ok = metadata && cJSON_AddStringToObject(metadata, "format", "pt") &&
              cJSON_AddStringToObject(metadata, SEAL, NO_SEAL) && add_ranges(metadata, graph);
    char name[2 * NODE_MAX_NAME];
    size_t at = 0;
    for (int i = 0; i < graph->weight_count; i++) {
        const char *mean = graph->weights[i].name;
        if (!ends_with(mean, MEAN))
            continue;
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(mean) - strlen(MEAN)), mean, BATCHES);
        ok = ok && add_entry(json, name, "I64", (const int[]){0}, 0, at, at + 8);
        at += 8;
    }
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *weight = graph_weight_source(graph, &graph->weights[i]);
        if (weight->literal)
            continue;
        size_t end = at + weight->count * sizeof(float);
        ok =
            ok && add_entry(json, graph->weights[i].name, "F32", weight->saved_rank ? weight->saved_dims : weight->dims,
                            weight->saved_rank ? weight->saved_rank : weight->rank, at, end);
        at = end;
    }
    *data_size = at;
    char *text = json_text(json, true);
    if (!ok) {
        cJSON_free(text);
        text = NULL;
    }
    return text;
}

enum status safetensors_write_weights(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err)
{
    size_t data_size, floats = 0;
    char *text = header_text(graph, &data_size);
    size_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
    for (int i = 0; i < graph->weight_count; i++)
        floats += graph->weights[i].literal ? 0 : graph_weight_source(graph, &graph->weights[i])->count * sizeof(float);
    *size = 8 + padded + data_size;
    *bytes = text ? calloc(*size, 1) : NULL;
    if (!*bytes) {
        cJSON_free(text);
        return error_no_memory(err, *size, "a safetensors file");
    }
    for (int i = 0; i < 8; i++)
        (*bytes)[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    memset(*bytes + 8, ' ', padded);
    memcpy(*bytes + 8, text, length);
    uint8_t *at = *bytes + *size - floats; /* after the counters, which are 0 */
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *weight = graph_weight_source(graph, &graph->weights[i]);
        if (weight->literal)
            continue;
        size_t count = weight->count * sizeof(float);
        memcpy(at, weight->data, count);
        at += count;
    }
    cJSON_free(text);
    char digest[DIGEST_HEX_SIZE], *file = (char *)*bytes;
    const char *seal = digest_find_seal(file, 8 + padded, SEAL_FIELD);
    digest_sealed(file, *size, seal, digest);
    memcpy(file + (seal - file), digest, DIGEST_HEX_SIZE - 1);
    return STATUS_OK;
}
