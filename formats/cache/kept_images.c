#define _GNU_SOURCE
#include "formats/cache/kept_images.h"

#include "shared/base/file_calls.h"
#include "shared/base/memory.h"
#include "shared/base/scratch_file.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file is the pixels of all images, then an entry for each of them, then the trailer: what is cut has none. */
struct entry {
    uint64_t at; /* of the pixels [h, w, channels] */
    uint32_t h, w;
    char digest[64]; /* SHA-256 of the pixels */
};

static const char MAGIC[32] = "softcache decoded images 1\n";

struct trailer {
    char cache[64];
    uint32_t split, size, count, channels;
    char digest[64]; /* SHA-256 of the entries, and of the trailer with zeros here */
    char magic[32];
};

struct kept_images {
    struct kept_key key;      /* without its digest */
    struct scratch_file file; /* not without a name, but read in the same way */
    struct entry *entries;    /* [key.count] */
    char path[FOLDER_PATH_SIZE];
};

struct kept_writer {
    struct open_folder folder;
    struct scratch_file file;
    struct entry *entries; /* [trailer.count] */
    struct trailer trailer;
    char name[KEPT_NAME_SIZE], temporary[2 * KEPT_NAME_SIZE];
    int lock; /* -1: none */
    bool published;
};

void kept_images_name(const struct kept_key *key, char name[KEPT_NAME_SIZE])
{
    char size[16] = "";
    if (key->size > 0)
        snprintf(size, sizeof size, "-%d", key->size);
    snprintf(name, KEPT_NAME_SIZE, "%s%s-%.16s.images", split_name(key->split), size, key->cache);
}

static struct trailer trailer_of(const struct kept_key *key)
{
    struct trailer trailer = {.split = (uint32_t)key->split,
                              .size = (uint32_t)key->size,
                              .count = key->count,
                              .channels = (uint32_t)key->channels};
    memcpy(trailer.cache, key->cache, sizeof trailer.cache);
    memcpy(trailer.magic, MAGIC, sizeof MAGIC);
    return trailer;
}

static enum status seal(struct trailer *trailer, const struct entry *entries, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest *digest;
    const enum status status = digest_new(&digest, err);
    if (status != STATUS_OK)
        return status;
    memset(trailer->digest, 0, sizeof trailer->digest);
    digest_update(digest, entries, trailer->count * sizeof *entries);
    digest_update(digest, trailer, sizeof *trailer);
    digest_finish(digest, hex);
    memcpy(trailer->digest, hex, sizeof trailer->digest);
    return STATUS_OK;
}

/* ---- reading ---- */

static enum status open_file(struct kept_images *kept, const char *folder, const struct kept_key *key, uint64_t *size,
                             struct error *err)
{
    char name[KEPT_NAME_SIZE];
    struct open_folder place;
    struct stat info;
    enum status status = folder_open(&place, folder, err);
    if (status != STATUS_OK)
        return status;
    kept_images_name(key, name);
    folder_place(kept->path, &place, name);
    kept->file.descriptor = file_call_open(place.descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (kept->file.descriptor < 0)
        FAIL(file_call_failed(err, STATUS_NO_INPUT, kept->path, "cannot be opened"));
    if (fstat(kept->file.descriptor, &info) != 0)
        FAIL(file_call_failed(err, STATUS_IO, kept->path, "cannot be looked at"));
    if (!S_ISREG(info.st_mode))
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "is not a file"));
    *size = (uint64_t)info.st_size;
    kept->file.folder = strdup(kept->path);
    if (!kept->file.folder)
        FAIL(error_no_memory(err, strlen(kept->path), "a path"));
cleanup:
    folder_close(&place);
    return status;
}

/* Every image lies before the entries. */
static enum status check_entries(const struct kept_images *kept, uint64_t pixels, struct error *err)
{
    for (uint32_t i = 0; i < kept->key.count; i++) {
        const struct entry *entry = &kept->entries[i];
        const uint64_t bytes = (uint64_t)entry->h * entry->w * (uint64_t)kept->key.channels;
        if (entry->h < 1 || entry->w < 1 || entry->h > UINT16_MAX || entry->w > UINT16_MAX || entry->at > pixels ||
            bytes > pixels - entry->at)
            return error_set(err, STATUS_BAD_DATA, kept->path, "image %u does not lie in the file", i);
    }
    return STATUS_OK;
}

static enum status read_entries(struct kept_images *kept, const struct kept_key *key, uint64_t size, struct error *err)
{
    const uint64_t entries = (uint64_t)key->count * sizeof *kept->entries;
    enum status status = STATUS_OK;
    struct trailer trailer, right = trailer_of(key);
    if (size < sizeof trailer + entries)
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "is cut: it has %llu bytes", (unsigned long long)size));
    TRY(scratch_file_read(&kept->file, size - sizeof trailer, &trailer, sizeof trailer, err));
    if (memcmp(trailer.magic, MAGIC, sizeof MAGIC) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "is cut, or no file of decoded images"));
    memcpy(right.digest, trailer.digest, sizeof right.digest);
    if (memcmp(&right, &trailer, sizeof right) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "has other images"));
    kept->entries = malloc(entries ? entries : 1);
    if (!kept->entries)
        FAIL(error_no_memory(err, entries, "decoded images"));
    TRY(scratch_file_read(&kept->file, size - sizeof trailer - entries, kept->entries, entries, err));
    TRY(seal(&right, kept->entries, err));
    if (memcmp(right.digest, trailer.digest, sizeof right.digest) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "was changed: its list of images has another digest"));
    TRY(check_entries(kept, size - sizeof trailer - entries, err));
cleanup:
    return status;
}

enum status kept_images_open(struct kept_images **out, const char *folder, const struct kept_key *key,
                             struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t size = 0;
    struct kept_images *kept = calloc(1, sizeof *kept);
    *out = NULL;
    if (!kept)
        return error_no_memory(err, sizeof *kept, "decoded images");
    kept->key = *key;
    kept->key.cache = NULL;
    kept->file.descriptor = -1;
    TRY(open_file(kept, folder, key, &size, err));
    TRY(read_entries(kept, key, size, err));
    *out = kept;
    kept = NULL;
cleanup:
    kept_images_close(kept);
    return status;
}

void kept_images_close(struct kept_images *kept)
{
    if (!kept)
        return;
    scratch_file_close(&kept->file);
    free(kept->entries);
    free(kept);
}

enum status kept_images_read(const struct kept_images *kept, uint32_t i, struct image *image, struct error *err)
{
    const struct entry *entry = &kept->entries[i];
    const size_t bytes = (size_t)entry->h * entry->w * (size_t)kept->key.channels;
    enum status status = STATUS_OK;
    char digest[DIGEST_HEX_SIZE];
    assert(i < kept->key.count);
    TRY(image_init(image, (int)entry->h, (int)entry->w, kept->key.channels, err));
    TRY(scratch_file_read(&kept->file, entry->at, image->pixels, bytes, err));
    digest_bytes(image->pixels, bytes, digest);
    if (memcmp(digest, entry->digest, sizeof entry->digest) != 0)
        FAIL(error_set(err, STATUS_BAD_DATA, kept->path, "was changed: image %u has another digest", i));
cleanup:
    if (status != STATUS_OK)
        image_release(image);
    return status;
}

/* ---- writing ---- */

/* In a folder of a cache or a run nobody expects our file. */
static enum status check_folder(const struct open_folder *folder, struct error *err)
{
    static const char *const owners[] = {"cache.json", "run.json"};
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++) {
        enum file_kind kind;
        const enum status status = folder_look(folder, owners[i], &kind, err);
        if (status != STATUS_OK)
            return status;
        if (kind != FILE_ABSENT)
            return error_set(err, STATUS_USAGE, folder->path,
                             "has a %s, so decoded images cannot be kept there: give a folder of their own", owners[i]);
    }
    return STATUS_OK;
}

static enum status begin_file(struct kept_writer *writer, struct error *err)
{
    char lock[2 * KEPT_NAME_SIZE];
    enum status status = STATUS_OK;
    snprintf(lock, sizeof lock, ".%s.lock", writer->name);
    TRY(folder_lock(&writer->folder, lock, &writer->lock, err));
    folder_remove_temporary(&writer->folder, writer->name); /* of processes that were killed: we have the lock */
    snprintf(writer->temporary, sizeof writer->temporary, "%s.%ld.tmp", writer->name, (long)getpid());
    writer->file.descriptor =
        file_call_open(writer->folder.descriptor, writer->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (writer->file.descriptor < 0)
        FAIL(file_call_failed(err, STATUS_CANT_CREATE, writer->folder.path, "no file can be made there"));
    writer->file.folder = strdup(writer->folder.path);
    if (!writer->file.folder)
        FAIL(error_no_memory(err, strlen(writer->folder.path), "a path"));
cleanup:
    return status;
}

enum status kept_writer_open(struct kept_writer **out, const char *folder, const struct kept_key *key,
                             struct error *err)
{
    enum status status = STATUS_OK;
    struct kept_writer *writer = calloc(1, sizeof *writer);
    *out = NULL;
    if (!writer)
        return error_no_memory(err, sizeof *writer, "decoded images");
    writer->folder.descriptor = writer->file.descriptor = writer->lock = -1;
    writer->trailer = trailer_of(key);
    kept_images_name(key, writer->name);
    writer->entries = calloc(key->count ? key->count : 1, sizeof *writer->entries);
    if (!writer->entries)
        FAIL(error_no_memory(err, key->count * sizeof *writer->entries, "decoded images"));
    TRY(folder_make(folder, err));
    TRY(folder_open(&writer->folder, folder, err));
    TRY(check_folder(&writer->folder, err));
    TRY(begin_file(writer, err));
    *out = writer;
    writer = NULL;
cleanup:
    kept_writer_close(writer);
    return status;
}

enum status kept_writer_add(struct kept_writer *writer, uint32_t i, const struct image *image, struct error *err)
{
    struct entry *entry = &writer->entries[i];
    const size_t bytes = (size_t)image->h * (size_t)image->w * (size_t)image->channels;
    char digest[DIGEST_HEX_SIZE];
    assert(i < writer->trailer.count && (uint32_t)image->channels == writer->trailer.channels);
    digest_bytes(image->pixels, bytes, digest);
    memcpy(entry->digest, digest, sizeof entry->digest);
    entry->h = (uint32_t)image->h;
    entry->w = (uint32_t)image->w;
    return scratch_file_append(&writer->file, image->pixels, bytes, &entry->at, err);
}

enum status kept_writer_publish(struct kept_writer *writer, struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t at;
    TRY(seal(&writer->trailer, writer->entries, err));
    TRY(scratch_file_append(&writer->file, writer->entries, writer->trailer.count * sizeof *writer->entries, &at, err));
    TRY(scratch_file_append(&writer->file, &writer->trailer, sizeof writer->trailer, &at, err));
    const int folder = writer->folder.descriptor;
    if (RETRY(renameat(folder, writer->temporary, folder, writer->name)) != 0)
        FAIL(file_call_failed(err, STATUS_IO, writer->folder.path, "a finished file there cannot be renamed"));
    writer->published = true;
cleanup:
    return status;
}

void kept_writer_close(struct kept_writer *writer)
{
    if (!writer)
        return;
    if (writer->file.descriptor >= 0 && !writer->published)
        folder_remove(&writer->folder, writer->temporary, NULL);
    scratch_file_close(&writer->file);
    file_unlock(writer->lock);
    folder_close(&writer->folder);
    free(writer->entries);
    free(writer);
}
