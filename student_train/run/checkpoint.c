#include "student_train/run/checkpoint.h"

#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "student_train/run/fit_identity.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 1 << 20, LENGTH_SIZE = 8 };

static const char DIGEST_FIELD[] = "\"sha256\":\"";
static const char NO_DIGEST[] = "0000000000000000000000000000000000000000000000000000000000000000";

static size_t data_size(const struct trainer_vector vectors[TRAINER_VECTORS])
{
    size_t size = 0;
    for (int i = 0; i < TRAINER_VECTORS; i++)
        size += vectors[i].count * sizeof(float);
    return size;
}

static void add_number(cJSON *metadata, const char *name, const char *format, double number)
{
    char text[64];
    snprintf(text, sizeof text, format, number);
    cJSON_AddStringToObject(metadata, name, text);
}

/* "best_epoch" of the first student, "best_epoch_1" of the second, ... */
static const char *best_key(char name[32], const char *what, int student)
{
    if (student == 0)
        snprintf(name, 32, "best_%s", what);
    else
        snprintf(name, 32, "best_%s_%d", what, student);
    return name;
}

/* The safetensors header with a digest of zeros. malloc'ed; NULL when out of memory. */
static char *header_text(const struct trainer_vector vectors[TRAINER_VECTORS], const struct trainer *trainer,
                         const struct progress_state *state, const char *identity)
{
    cJSON *root = cJSON_CreateObject(), *metadata = cJSON_AddObjectToObject(root, "__metadata__");
    size_t offset = 0;
    cJSON_AddStringToObject(metadata, "format", "softcache checkpoint 1");
    cJSON_AddStringToObject(metadata, "sha256", NO_DIGEST);
    cJSON_AddStringToObject(metadata, "identity", identity);
    cJSON_AddStringToObject(metadata, "kernels", state->kernels);
    add_number(metadata, "epoch", "%.0f", state->epoch);
    add_number(metadata, "step", "%.0f", (double)trainer->step);
    for (int k = 0; k < trainer->student_count; k++) {
        char name[32];
        add_number(metadata, best_key(name, "epoch", k), "%.0f", state->best[k].epoch);
        add_number(metadata, best_key(name, "score", k), "%.17g", state->best[k].score);
    }
    add_number(metadata, "seconds", "%.3f", state->seconds);
    add_number(metadata, "images", "%.0f", (double)state->images);
    for (int i = 0; i < TRAINER_VECTORS; i++) {
        if (!vectors[i].values)
            continue;
        cJSON *tensor = cJSON_AddObjectToObject(root, vectors[i].name);
        double shape = (double)vectors[i].count, ends[2] = {(double)offset, 0};
        offset += vectors[i].count * sizeof(float);
        ends[1] = (double)offset;
        cJSON_AddStringToObject(tensor, "dtype", "F32");
        json_add(tensor, "shape", cJSON_CreateDoubleArray(&shape, 1));
        json_add(tensor, "data_offsets", cJSON_CreateDoubleArray(ends, 2));
    }
    return json_text(root, true);
}

enum status checkpoint_write(const char *path, struct trainer *trainer, const struct progress_state *state,
                             const char *identity, struct error *err)
{
    const struct compute *compute = trainer->compute;
    enum status status = STATUS_OK;
    struct trainer_vector vectors[TRAINER_VECTORS];
    char digest[DIGEST_HEX_SIZE], *header;
    const char *seal;
    unsigned char *file = NULL;
    size_t at, size, header_size;
    trainer_vectors(trainer, vectors);
    header = header_text(vectors, trainer, state, identity);
    if (!header)
        FAIL(error_no_memory(err, HEADER_LIMIT, "a checkpoint"));
    header_size = (strlen(header) + 7) / 8 * 8;
    at = LENGTH_SIZE + header_size;
    size = at + data_size(vectors);
    TRY(memory_new((void **)&file, size, 1, "a checkpoint", err));
    for (int i = 0; i < LENGTH_SIZE; i++)
        file[i] = (unsigned char)(header_size >> (8 * i));
    memset(file + LENGTH_SIZE, ' ', header_size);
    memcpy(file + LENGTH_SIZE, header, strlen(header));
    for (int i = 0; i < TRAINER_VECTORS; i++) {
        TRY(compute->backend->device->download(compute->device, file + at, vectors[i].values,
                                               vectors[i].count * sizeof(float), err));
        at += vectors[i].count * sizeof(float);
    }
    seal = digest_find_seal((char *)file + LENGTH_SIZE, header_size, DIGEST_FIELD);
    digest_sealed((char *)file + LENGTH_SIZE, size - LENGTH_SIZE, seal, digest);
    memcpy((char *)file + (seal - (char *)file), digest, DIGEST_HEX_SIZE - 1);
    TRY(file_publish(path, file, size, err));
cleanup:
    free(header);
    memory_free(file);
    return status;
}

/* Reads a number that the metadata has as a string. */
static enum status read_metadata(const struct json_place *metadata, const char *name, struct arena *arena, double low,
                                 double high, double *number, struct error *err)
{
    const char *text;
    char *end;
    enum status status = json_string(metadata, name, arena, &text, err);
    if (status != STATUS_OK)
        return status;
    *number = strtod(text, &end);
    if (end == text || *end || !(*number >= low && *number <= high))
        return error_set(err, STATUS_BAD_DATA, metadata->path,
                         "__metadata__.%s: '%.40s' is not a number in the allowed range", name, text);
    return STATUS_OK;
}

static enum status read_state(const struct json_place *metadata, struct arena *arena, struct trainer *trainer,
                              struct progress_state *state, struct error *err)
{
    enum status status = STATUS_OK;
    double epoch, step, best, images;
    TRY(read_metadata(metadata, "epoch", arena, 0, 1e9, &epoch, err));
    TRY(read_metadata(metadata, "step", arena, 0, 1e15, &step, err));
    for (int k = 0; k < trainer->student_count; k++) {
        char name[32];
        TRY(read_metadata(metadata, best_key(name, "epoch", k), arena, 0, 1e9, &best, err));
        TRY(read_metadata(metadata, best_key(name, "score", k), arena, -1e300, 1e300, &state->best[k].score, err));
        state->best[k].epoch = (int)best;
    }
    TRY(read_metadata(metadata, "seconds", arena, 0, 1e15, &state->seconds, err));
    TRY(read_metadata(metadata, "images", arena, 0, 1e15, &images, err));
    state->epoch = (int)epoch;
    state->images = (uint64_t)images;
    trainer->step = (uint64_t)step;
cleanup:
    return status;
}

static enum status load_vectors(const struct json_place *root, struct trainer *trainer, const unsigned char *data,
                                size_t size, struct error *err)
{
    const struct compute *compute = trainer->compute;
    struct trainer_vector vectors[TRAINER_VECTORS];
    enum status status = STATUS_OK;
    size_t at = 0;
    trainer_vectors(trainer, vectors);
    if (data_size(vectors) != size)
        return error_set(err, STATUS_BAD_DATA, root->path, "has %zu bytes of vectors; this run needs %zu", size,
                         data_size(vectors));
    for (int i = 0; i < TRAINER_VECTORS; i++) {
        if (vectors[i].values && !cJSON_GetObjectItemCaseSensitive(root->node, vectors[i].name))
            return error_set(err, STATUS_BAD_DATA, root->path, "vector %s is missing", vectors[i].name);
        TRY(compute->backend->device->upload(compute->device, vectors[i].values, data + at,
                                             vectors[i].count * sizeof(float), err));
        at += vectors[i].count * sizeof(float);
    }
cleanup:
    return status;
}

/* Results of another instruction set or GPU differ in their last bits. */
static enum status read_kernels(const struct json_place *metadata, struct arena *arena, const struct trainer *trainer,
                                struct progress_state *state, bool mix, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const char *now = compute->backend->device->arithmetic(compute->device, trainer->network.plan.dtype),
               *before = "unknown kernels";
    enum status status = STATUS_OK;
    if (cJSON_HasObjectItem(metadata->node, "kernels")) /* not in the first versions */
        TRY(json_string(metadata, "kernels", arena, &before, err));
    else
        mix = true;
    if (strstr(before, now)) {
        snprintf(state->kernels, sizeof state->kernels, "%s", before);
        return STATUS_OK;
    }
    if (!mix)
        FAIL(error_set(
            err, STATUS_CONFIG, metadata->path,
            "cannot resume: it was computed by %s, and here is %s, whose results differ in their last bits. Resume "
            "it where it was begun; or pass --allow-mixed, and run.json will name both; or train anew with "
            "--deterministic, which gives the same bits on every processor with AVX2",
            before, now));
    if (snprintf(state->kernels, sizeof state->kernels, "%.300s + %.200s", before, now) >= (int)sizeof state->kernels)
        FAIL(error_set(err, STATUS_CONFIG, metadata->path, "was computed on too many kinds of machines"));
cleanup:
    return status;
}

/* A checkpoint's bytes, whose digest is right, and its header. */
struct opened {
    unsigned char *bytes;
    size_t size, data; /* the vectors begin at bytes + data */
    cJSON *json;
    struct json_place root, metadata;
};

static void opened_release(struct opened *file)
{
    free(file->bytes);
    cJSON_Delete(file->json);
}

static enum status opened_init(struct opened *file, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    size_t header_size = 0;
    const char *seal;
    char digest[DIGEST_HEX_SIZE];
    *file = (struct opened){0};
    TRY(file_read(path, (size_t)1 << 34, &file->bytes, &file->size, err));
    for (int i = 0; i < LENGTH_SIZE && file->size >= LENGTH_SIZE; i++)
        header_size |= (size_t)file->bytes[i] << (8 * i);
    if (file->size < LENGTH_SIZE || header_size > HEADER_LIMIT || header_size > file->size - LENGTH_SIZE)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "not a checkpoint: its header does not fit into the file"));
    const char *header = (const char *)file->bytes + LENGTH_SIZE;
    seal = digest_find_seal(header, header_size, DIGEST_FIELD);
    if (seal)
        digest_sealed(header, file->size - LENGTH_SIZE, seal, digest);
    if (!seal || memcmp(seal, digest, DIGEST_HEX_SIZE - 1) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path,
                       "is damaged: its SHA-256 differs; start the run again with --overwrite"));
    file->data = LENGTH_SIZE + header_size;
    TRY(json_parse(&file->json, header, header_size, path, err));
    file->root = json_root(file->json, path);
    TRY(json_object(&file->root, "__metadata__", &file->metadata, err));
cleanup:
    return status;
}

enum status checkpoint_epoch(const char *path, int *epoch, struct error *err)
{
    enum status status = STATUS_OK;
    struct opened file;
    struct arena arena = {0};
    double number;
    TRY(opened_init(&file, path, err));
    TRY(read_metadata(&file.metadata, "epoch", &arena, 0, 1e9, &number, err));
    *epoch = (int)number;
cleanup:
    opened_release(&file);
    arena_release(&arena);
    return status;
}

enum status checkpoint_read(const char *path, struct trainer *trainer, struct progress_state *state,
                            const char *identity, bool mix, struct error *err)
{
    enum status status = STATUS_OK;
    struct opened file;
    struct arena arena = {0};
    const char *kept;
    TRY(opened_init(&file, path, err));
    TRY(json_string(&file.metadata, "identity", &arena, &kept, err));
    TRY(fit_identity_check(path, kept, identity, err));
    TRY(read_kernels(&file.metadata, &arena, trainer, state, mix, err));
    TRY(read_state(&file.metadata, &arena, trainer, state, err));
    TRY(load_vectors(&file.root, trainer, file.bytes + file.data, file.size - file.data, err));
cleanup:
    opened_release(&file);
    arena_release(&arena);
    return status;
}
