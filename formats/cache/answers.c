#define _POSIX_C_SOURCE 200809L
#include "formats/cache/answers.h"

#include "formats/cache/cache_row.h"
#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "shared/base/file_calls.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const answers_format = "softcache-answers";
static const char json_name[] = "answers.json", rows_suffix[] = ".rows";

/* Sizes are computed from what it says: they must fit. */
static enum status check_outputs(const struct cache_manifest *manifest, const char *path, struct error *err)
{
    const int top_k = manifest->class_count > CACHE_DENSE_CLASSES ? CACHE_TOP_K : 0;
    if (!cache_has_teacher(manifest) || !cache_is_imported(manifest))
        return error_set(err, STATUS_BAD_DATA, path, "field cache.teacher does not describe an imported teacher");
    if (manifest->top_k != top_k)
        return error_set(err, STATUS_BAD_DATA, path, "field cache.outputs.top_k is %d, but of %d classes it must be %d",
                         manifest->top_k, manifest->class_count, top_k);
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (manifest->splits[s].samples)
            return error_set(err, STATUS_BAD_DATA, path, "field cache.splits must be empty");
    if (cache_sample_bytes(manifest, SPLIT_TRAIN) > CACHE_SHARD_LIMIT)
        return error_set(err, STATUS_CONFIG, path,
                         "the features of one sample need more than a shard's %d MiB: record fewer features, fewer "
                         "views of them, or the forms pooled or at",
                         CACHE_SHARD_LIMIT >> 20);
    return STATUS_OK;
}

enum status answers_parse(struct cache_manifest *manifest, const char *text, size_t size, const char *path,
                          struct error *err)
{
    enum status status = STATUS_OK;
    cJSON *tree = NULL;
    struct json_place cache;
    int64_t version;
    int format;
    TRY(json_parse(&tree, text, size, path, err));
    const struct json_place root = json_root(tree, path);
    TRY(json_choice(&root, "format", &answers_format, 1, &format, err));
    TRY(json_integer(&root, "format_version", 1, INT32_MAX, &version, err));
    if (version != ANSWERS_FORMAT_VERSION)
        FAIL(error_set(err, STATUS_CONFIG, path,
                       "has format version %lld, but this program reads version %d: install package and programs of "
                       "the same version",
                       (long long)version, ANSWERS_FORMAT_VERSION));
    TRY(json_object(&root, "cache", &cache, err));
    TRY(manifest_parse_tree(manifest, &cache, false, err));
    TRY(check_outputs(manifest, path, err));
cleanup:
    cJSON_Delete(tree);
    return status;
}

enum status answers_parse_head(const struct cache_manifest *manifest, const char digest[65], const char *bytes,
                               size_t size, size_t file_size, const char *path, struct answers_file *file,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const char *const splits[] = {split_name(0), split_name(1), split_name(2)};
    const char *end = memchr(bytes, '\n', size < ANSWERS_HEAD_LIMIT ? size : ANSWERS_HEAD_LIMIT);
    char belongs_to[65];
    int64_t first, count;
    cJSON *tree = NULL;
    int split;
    if (!end)
        return error_set(err, STATUS_BAD_DATA, path, "does not begin with a line of at most %d bytes",
                         ANSWERS_HEAD_LIMIT);
    file->head = (size_t)(end - bytes) + 1;
    TRY(json_parse(&tree, bytes, file->head, path, err));
    const struct json_place root = json_root(tree, path);
    TRY(json_digest(&root, "answers", belongs_to, err));
    if (strcmp(belongs_to, digest) != 0)
        FAIL(error_set(err, STATUS_CONFIG, path, "belongs to another %s: remove it, or use another folder", json_name));
    TRY(json_choice(&root, "split", splits, SPLIT_COUNT, &split, err));
    file->split = (enum split)split;
    const int64_t rows = (int64_t)INT32_MAX * cache_split_views(manifest, file->split);
    TRY(json_integer(&root, "first", 0, rows - 1, &first, err));
    TRY(json_integer(&root, "count", 1, rows - first, &count, err));
    TRY(json_digest(&root, "sha256", file->digest, err));
    file->first = (uint64_t)first;
    file->count = (uint64_t)count;
    file->bytes = cache_row_bytes(manifest, file->split, file->first, file->count);
    if (file->bytes > ANSWERS_FILE_LIMIT - ANSWERS_HEAD_LIMIT)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "field count is %lld: a file may have %d bytes", (long long)count,
                       ANSWERS_FILE_LIMIT));
    if (file->bytes != file_size - file->head)
        FAIL(error_set(err, STATUS_BAD_DATA, path,
                       "has %zu bytes, but the answers to %lld views have %zu: remove it, and run the program that "
                       "writes it again",
                       file_size, (long long)count, file->bytes + file->head));
cleanup:
    cJSON_Delete(tree);
    return status;
}

static enum status read_head(const struct answers *answers, struct answers_file *file, struct error *err)
{
    enum status status = STATUS_OK;
    char head[ANSWERS_HEAD_LIMIT];
    struct stat info;
    char *path = path_join(answers->path, file->name);
    if (!path)
        return error_no_memory(err, strlen(file->name), "a path");
    const int stream = file_call_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0); /* a pipe must not block us */
    if (stream < 0 || RETRY(fstat(stream, &info)) != 0)
        FAIL(file_call_failed(err, STATUS_NO_INPUT, path, "cannot be opened"));
    if (!S_ISREG(info.st_mode))
        FAIL(error_set(err, STATUS_NO_INPUT, path, "is not a file"));
    const ssize_t size = RETRY(pread(stream, head, sizeof head, 0));
    if (size < 0)
        FAIL(file_call_failed(err, STATUS_IO, path, "cannot be read"));
    TRY(answers_parse_head(&answers->manifest, answers->digest, head, (size_t)size, (size_t)info.st_size, path, file,
                           err));
cleanup:
    if (stream >= 0)
        close(stream);
    free(path);
    return status;
}

static int compare_files(const void *left, const void *right)
{
    const struct answers_file *a = left, *b = right;
    if (a->split != b->split)
        return a->split < b->split ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

static enum status list_files(struct answers *answers, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0, capacity = 0;
    TRY(folder_list(answers->path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder || !has_suffix(entries[i].name, rows_suffix))
            continue;
        TRY(array_grow(&answers->files, sizeof *answers->files, (size_t)answers->file_count, &capacity,
                       "the list of answers", err));
        struct answers_file *file = &answers->files[answers->file_count];
        *file = (struct answers_file){.name = strdup(entries[i].name)};
        if (!file->name)
            FAIL(error_no_memory(err, strlen(entries[i].name), "a name"));
        answers->file_count++;
        TRY(read_head(answers, file, err));
    }
    if (answers->file_count)
        qsort(answers->files, (size_t)answers->file_count, sizeof *answers->files, compare_files);
cleanup:
    folder_list_free(entries, count);
    return status;
}

enum status answers_open(struct answers *answers, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    size_t size;
    enum file_kind kind;
    *answers = (struct answers){.path = strdup(path)};
    char *file = path_join(path, json_name);
    if (!file || !answers->path)
        FAIL(error_no_memory(err, strlen(path), "a path"));
    TRY(file_look(file, &kind, err));
    if (kind != FILE_REGULAR)
        FAIL(
            error_set(err, STATUS_NO_INPUT, path, "has no %s: write answers with the Python package first", json_name));
    TRY(file_read(file, MANIFEST_LIMIT, &text, &size, err));
    digest_bytes(text, size, answers->digest);
    TRY(answers_parse(&answers->manifest, (const char *)text, size, file, err));
    TRY(list_files(answers, err));
cleanup:
    free(text);
    free(file);
    if (status != STATUS_OK)
        answers_release(answers);
    return status;
}

void answers_release(struct answers *answers)
{
    for (int i = 0; i < answers->file_count; i++)
        free(answers->files[i].name);
    free(answers->files);
    free(answers->path);
    arena_release(&answers->manifest.arena);
    *answers = (struct answers){0};
}

/* The cache's manifest as it is in answers.json: with its teacher and outputs, without splits. */
static enum status check_views(const struct answers *answers, const struct cache_manifest *photos, struct error *err)
{
    /* What may differ without changing a view: where the images are kept. */
    static const char *const ignore[] = {"format_version", "program_version", "images", "path", NULL};
    const struct cache_manifest *manifest = &answers->manifest;
    struct cache_manifest wanted = *photos;
    struct manifest_difference difference;
    wanted.teacher_file = manifest->teacher_file;
    memcpy(wanted.teacher_digest, manifest->teacher_digest, sizeof wanted.teacher_digest);
    wanted.device = manifest->device;
    wanted.precision = manifest->precision;
    cache_copy_members(&wanted, manifest);
    wanted.top_k = manifest->top_k;
    wanted.feature_count = manifest->feature_count;
    memcpy(wanted.features, manifest->features, sizeof wanted.features);
    for (int s = 0; s < SPLIT_COUNT; s++)
        wanted.splits[s] = (struct cache_split){0};
    const enum status status = manifest_differ(manifest, &wanted, ignore, &difference, err);
    if (status == STATUS_CONFIG)
        error_set(err, status, answers->path,
                  "was made for other views: %s is %s there and %s in this cache: choose the cache that they were "
                  "made for",
                  difference.field, difference.left, difference.right);
    return status;
}

static enum status say_missing(const struct answers *answers, enum split split, uint64_t first, uint64_t end,
                               struct error *err)
{
    const uint64_t views = (uint64_t)cache_split_views(&answers->manifest, split);
    return error_set(err, STATUS_BAD_DATA, answers->path,
                     "%llu views of split %s have no answer yet, from view %llu of sample %llu on: run the program "
                     "that writes the answers again, it goes on where it stopped",
                     (unsigned long long)(end - first), split_name(split), (unsigned long long)(first % views),
                     (unsigned long long)(first / views));
}

enum status answers_check(const struct answers *answers, const struct cache_manifest *photos, struct error *err)
{
    const enum status status = check_views(answers, photos, err);
    int file = 0;
    if (status != STATUS_OK)
        return status;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const uint64_t rows = (uint64_t)photos->splits[s].samples * (uint64_t)photos->splits[s].views;
        uint64_t next = 0;
        for (; file < answers->file_count && (int)answers->files[file].split == s; file++) {
            const struct answers_file *answer = &answers->files[file];
            if (answer->first > next)
                return say_missing(answers, (enum split)s, next, answer->first, err);
            if (answer->first < next)
                return error_set(err, STATUS_BAD_DATA, answers->path, "%s and %s answer the same views: remove one",
                                 answers->files[file - 1].name, answer->name);
            next += answer->count;
        }
        if (next > rows)
            return error_set(err, STATUS_BAD_DATA, answers->path, "%s ends with view %llu, but split %s has %llu views",
                             answers->files[file - 1].name, (unsigned long long)next, split_name((enum split)s),
                             (unsigned long long)rows);
        if (next < rows)
            return say_missing(answers, (enum split)s, next, rows, err);
    }
    return STATUS_OK;
}

enum status answers_read(const struct answers *answers, int index, unsigned char **bytes, const uint8_t **rows,
                         struct error *err)
{
    const struct answers_file *file = &answers->files[index];
    enum status status = STATUS_OK;
    char digest[DIGEST_HEX_SIZE] = "";
    size_t size;
    *bytes = NULL;
    char *path = path_join(answers->path, file->name);
    if (!path)
        return error_no_memory(err, strlen(file->name), "a path");
    TRY(file_read(path, ANSWERS_FILE_LIMIT, bytes, &size, err));
    if (size == file->head + file->bytes)
        digest_bytes(*bytes + file->head, file->bytes, digest);
    if (strcmp(digest, file->digest) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path,
                       "is damaged (its SHA-256 is not that of its first line): remove it, and run the program that "
                       "writes it again"));
    *rows = *bytes + file->head;
cleanup:
    if (status != STATUS_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    free(path);
    return status;
}
