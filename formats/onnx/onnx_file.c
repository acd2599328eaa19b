#define _GNU_SOURCE
#include "formats/onnx/onnx_file.h"

#include "formats/onnx/onnx_unpack.h"
#include "shared/base/file_calls.h"
#include "shared/base/memory.h"
#include <fcntl.h>
#include <limits.h>
#include <onnx/onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DATA_FILES = 1024, CHUNK = 1 << 20 };
static const size_t MAX_FILE = INT32_MAX; /* protobuf's own limit */

/* A file of weights. */
struct data_file {
    const char *location; /* as the model names it; borrowed */
    int descriptor;
    size_t size;
};

struct loader {
    const char *path; /* of the model */
    char *folder;     /* that it is in */
    struct onnx_message *message;
    struct data_file files[MAX_DATA_FILES];
    int file_count;
    bool apart;    /* weights are checked, but stay where they are */
    size_t loaded; /* bytes of weights so far */
    struct error *err;
};

/* ---- where the weights lie ---- */

static enum status bad_tensor(struct loader *l, enum status code, const Onnx__TensorProto *tensor, const char *location,
                              const char *reason)
{
    return error_set(l->err, code, l->path, "the data of tensor '%.100s' is in '%.200s', %s",
                     tensor->name ? tensor->name : "", location, reason);
}

/* After a call on its file that failed, with errno. `reason` is for a file that is not there. */
static enum status call_failed(struct loader *l, const Onnx__TensorProto *tensor, const char *location,
                               const char *reason)
{
    struct error failed = {0};
    const enum status status = file_call_failed(&failed, STATUS_NO_INPUT, NULL, "which cannot be opened");
    return bad_tensor(l, status, tensor, location, status == STATUS_NO_INPUT ? reason : failed.message);
}

/* No absolute path, and no "..": what is below the folder by its name alone. */
static bool is_below_by_name(const char *location)
{
    if (!location[0] || location[0] == '/')
        return false;
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0))
            return false;
    }
    return true;
}

static bool is_in_folder_of(const char *file, const char *neighbour)
{
    const char *slash = strrchr(neighbour, '/');
    const size_t length = slash ? (size_t)(slash - neighbour) + 1 : 0;
    return strncmp(file, neighbour, length) == 0;
}

/* Links may lead elsewhere only if the model itself was reached by a link to that place, as in the caches of model
 * hubs. */
static enum status check_place(struct loader *l, const Onnx__TensorProto *tensor, const char *location,
                               const char *full)
{
    enum status status = STATUS_OK;
    char *file = realpath(full, NULL), *model = file ? realpath(l->path, NULL) : NULL;
    char *folder = model ? realpath(l->folder, NULL) : NULL, *beside = folder ? path_join(folder, "x") : NULL;
    if (!folder)
        status = call_failed(l, tensor, location, "whose place cannot be found");
    else if (!beside)
        status = error_no_memory(l->err, strlen(folder), "a path");
    else if (!is_in_folder_of(file, model) && !is_in_folder_of(file, beside))
        status = bad_tensor(l, STATUS_BAD_DATA, tensor, location, "a link that leaves the model's folder; refused");
    free(file);
    free(model);
    free(folder);
    free(beside);
    return status;
}

static enum status open_data(struct loader *l, const Onnx__TensorProto *tensor, const char *location,
                             const struct data_file **out)
{
    enum status status = STATUS_OK;
    struct stat info;
    char *full = NULL;
    for (int i = 0; i < l->file_count; i++)
        if (strcmp(l->files[i].location, location) == 0) {
            *out = &l->files[i];
            return STATUS_OK;
        }
    if (!is_below_by_name(location))
        return bad_tensor(l, STATUS_BAD_DATA, tensor, location, "which leaves the model's folder; refused");
    if (l->file_count == MAX_DATA_FILES)
        return bad_tensor(l, STATUS_CONFIG, tensor, location, "and more than 1024 such files are not supported");
    full = path_join(l->folder, location);
    if (!full)
        return error_no_memory(l->err, strlen(location), "a path");
    const int descriptor = file_call_open(AT_FDCWD, full, O_RDONLY | O_NONBLOCK, 0);
    if (descriptor < 0)
        status = call_failed(l, tensor, location, "which cannot be opened: copy it beside the model");
    else
        status = check_place(l, tensor, location, full);
    if (status == STATUS_OK && RETRY(fstat(descriptor, &info)) != 0)
        status = call_failed(l, tensor, location, "which cannot be read");
    else if (status == STATUS_OK && !S_ISREG(info.st_mode))
        status = bad_tensor(l, STATUS_BAD_DATA, tensor, location, "which is not a file");
    free(full);
    if (status != STATUS_OK) {
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    l->files[l->file_count] = (struct data_file){location, descriptor, (size_t)info.st_size};
    *out = &l->files[l->file_count++];
    return STATUS_OK;
}

/* ---- weights of a tensor ---- */

/* The entry's number; `absent` where it is not there; false where it is not a number. */
static bool entry_number(const Onnx__TensorProto *tensor, const char *key, size_t absent, size_t *number)
{
    *number = absent;
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (!entry->key || strcmp(entry->key, key) != 0 || !entry->value)
            continue;
        char *end;
        if (entry->value[0] < '0' || entry->value[0] > '9')
            return false;
        const unsigned long long value = strtoull(entry->value, &end, 10);
        if (*end || value > SIZE_MAX / 2)
            return false;
        *number = (size_t)value;
    }
    return true;
}

static const char *entry_text(const Onnx__TensorProto *tensor, const char *key)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (entry->key && strcmp(entry->key, key) == 0 && entry->value)
            return entry->value;
    }
    return NULL;
}

static bool read_range(int descriptor, void *to, size_t size, size_t offset)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = RETRY(pread(descriptor, (char *)to + done, size - done, (off_t)(offset + done)));
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* The tensor keeps its data itself from now on. */
static void forget_entries(struct loader *l, Onnx__TensorProto *tensor)
{
    for (size_t i = 0; i < tensor->n_external_data; i++)
        protobuf_c_message_free_unpacked(&tensor->external_data[i]->base, &l->message->allocator);
    free(tensor->external_data);
    tensor->external_data = NULL;
    tensor->n_external_data = 0;
    tensor->has_data_location = false;
}

static enum status load_tensor(struct loader *l, Onnx__TensorProto *tensor)
{
    const struct data_file *file = NULL;
    size_t offset, length;
    if (!tensor->n_external_data || !tensor->has_data_location ||
        tensor->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return STATUS_OK;
    const char *location = entry_text(tensor, "location");
    if (!location)
        return bad_tensor(l, STATUS_BAD_DATA, tensor, "", "but the model does not say which file");
    enum status status = open_data(l, tensor, location, &file);
    if (status != STATUS_OK)
        return status;
    if (!entry_number(tensor, "offset", 0, &offset) || offset > file->size ||
        !entry_number(tensor, "length", file->size - offset, &length) || length > file->size - offset)
        return bad_tensor(
            l, STATUS_BAD_DATA, tensor, location,
            "which is shorter than the model says: the two files do not belong together, or one is incomplete");
    if (l->apart)
        return STATUS_OK;
    l->loaded = l->loaded > SIZE_MAX / 2 ? l->loaded : l->loaded + length;
    if (l->loaded > MAX_FILE)
        return error_set(l->err, STATUS_CONFIG, l->path, "has more than 2 GiB of weights, which is not supported");
    void *data = malloc(length ? length : 1);
    if (!data)
        return error_no_memory(l->err, length, "the weights of a model");
    if (!read_range(file->descriptor, data, length, offset)) {
        free(data);
        return bad_tensor(l, STATUS_IO, tensor, location, "which cannot be read");
    }
    free(tensor->raw_data.data);
    tensor->raw_data = (ProtobufCBinaryData){length, data};
    tensor->has_raw_data = true;
    return STATUS_OK;
}

static enum status load_graph(struct loader *l, Onnx__GraphProto *graph)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < graph->n_initializer; i++)
        TRY(load_tensor(l, graph->initializer[i]));
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            if (graph->node[i]->attribute[k]->t)
                TRY(load_tensor(l, graph->node[i]->attribute[k]->t));
cleanup:
    return status;
}

/* Locations are borrowed from the entries, so these go last. */
static void forget_all_entries(struct loader *l, Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        forget_entries(l, graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            if (graph->node[i]->attribute[k]->t)
                forget_entries(l, graph->node[i]->attribute[k]->t);
}

/* ---- digest ---- */

static int compare_locations(const void *a, const void *b)
{
    return strcmp(((const struct data_file *)a)->location, ((const struct data_file *)b)->location);
}

static enum status digest_all(struct loader *l, const unsigned char *bytes, size_t size, char hex[DIGEST_HEX_SIZE])
{
    struct digest *digest = NULL;
    enum status status = STATUS_OK;
    unsigned char *chunk = malloc(CHUNK);
    if (!chunk)
        return error_no_memory(l->err, CHUNK, "reading weights");
    TRY(digest_new(&digest, l->err));
    digest_update(digest, bytes, size);
    qsort(l->files, (size_t)l->file_count, sizeof *l->files, compare_locations);
    for (int i = 0; i < l->file_count; i++)
        for (size_t at = 0; at < l->files[i].size; at += CHUNK) {
            const size_t left = l->files[i].size - at, part = left < CHUNK ? left : CHUNK;
            if (!read_range(l->files[i].descriptor, chunk, part, at))
                FAIL(error_set(l->err, STATUS_IO, l->path, "'%.200s' beside it cannot be read", l->files[i].location));
            digest_update(digest, chunk, part);
        }
cleanup:
    if (digest)
        digest_finish(digest, status == STATUS_OK ? hex : NULL);
    free(chunk);
    return status;
}

/* ---- the file ---- */

/* *bytes and *size become those of the self-contained model. */
static enum status embed(struct loader *l, unsigned char **bytes, size_t *size, char *digest)
{
    enum status status = STATUS_OK;
    Onnx__ModelProto *model = (Onnx__ModelProto *)l->message->message;
    if (!model->graph)
        return STATUS_OK; /* reading says that it is not a model */
    TRY(load_graph(l, model->graph));
    if (digest)
        TRY(digest_all(l, *bytes, *size, digest));
    if (l->file_count == 0 || l->apart)
        return STATUS_OK;
    forget_all_entries(l, model->graph);
    const size_t packed_size = protobuf_c_message_get_packed_size(&model->base);
    unsigned char *packed = malloc(packed_size ? packed_size : 1);
    if (!packed)
        FAIL(error_no_memory(l->err, packed_size, "a model with its weights"));
    protobuf_c_message_pack(&model->base, packed);
    free(*bytes);
    *bytes = packed;
    *size = packed_size;
cleanup:
    return status;
}

static enum status read_model(const char *path, bool apart, unsigned char **bytes, size_t *size,
                              char digest[DIGEST_HEX_SIZE], struct error *err)
{
    enum status status = STATUS_OK;
    struct onnx_message message = {0};
    const char *slash = strrchr(path, '/');
    struct loader *l = calloc(1, sizeof *l);
    *bytes = NULL;
    if (!l)
        return error_no_memory(err, sizeof *l, "reading a model");
    *l = (struct loader){.path = path, .message = &message, .apart = apart, .err = err};
    l->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!l->folder)
        FAIL(error_no_memory(err, strlen(path), "a path"));
    TRY(file_read(path, MAX_FILE, bytes, size, err));
    if (digest)
        digest_bytes(*bytes, *size, digest);
    if (memmem(*bytes, *size, "location", strlen("location"))) { /* the key of external data */
        TRY(onnx_unpack(&message, &onnx__model_proto__descriptor, *bytes, *size, path, err));
        TRY(embed(l, bytes, size, digest));
    }
cleanup:
    onnx_unpack_release(&message);
    for (int i = 0; i < l->file_count; i++)
        close(l->files[i].descriptor);
    free(l->folder);
    free(l);
    if (status != STATUS_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

enum status onnx_file_read(const char *path, unsigned char **bytes, size_t *size, char digest[DIGEST_HEX_SIZE],
                           struct error *err)
{
    return read_model(path, false, bytes, size, digest, err);
}

enum status onnx_file_read_apart(const char *path, unsigned char **bytes, size_t *size, char digest[DIGEST_HEX_SIZE],
                                 struct error *err)
{
    return read_model(path, true, bytes, size, digest, err);
}
