/* Files and folders: whole reads, atomic publication, sorted listings, locks. */
#ifndef SHARED_BASE_FILES_H
#define SHARED_BASE_FILES_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stddef.h>

/* Reads a whole file; *bytes is malloc'ed (the caller frees it) and followed by one zero byte that *size does not
 * count. A file of more than limit bytes is refused before anything is allocated. STATUS_NO_INPUT, STATUS_BAD_DATA,
 * STATUS_IO. */
enum status file_read(const char *path, size_t limit, unsigned char **bytes, size_t *size, struct error *err);

/* Publishes bytes as path: writes and syncs a temporary file beside it, reads it back and compares it, renames it, and
 * syncs the folder. So path is either complete or what it was before, whatever happens. If path is a link, the link is
 * replaced and not what it leads to. STATUS_CANT_CREATE, STATUS_IO. */
enum status file_publish(const char *path, const void *bytes, size_t size, struct error *err);

/* mkdir -p. STATUS_CANT_CREATE. */
enum status folder_make(const char *path, struct error *err);

struct folder_entry {
    char *name;
    bool is_folder; /* links are followed */
};
/* The entries of a folder, without names that begin with a dot, in byte order. Free with folder_list_free. */
enum status folder_list(const char *path, struct folder_entry **entries, size_t *count, struct error *err);
/* The same; *hidden gets the number of names that begin with a dot ("." and ".." do not count). */
enum status folder_list_visible(const char *path, struct folder_entry **entries, size_t *count, size_t *hidden,
                                struct error *err);
void folder_list_free(struct folder_entry *entries, size_t count);

enum file_kind { FILE_ABSENT, FILE_REGULAR, FILE_FOLDER, FILE_OTHER };
/* What a path is; links are followed. STATUS_IO if that cannot be found out: a failing disk is not an absent file. */
enum status file_look(const char *path, enum file_kind *kind, struct error *err);
/* Whether it is a regular file. False also if that cannot be found out; err (not NULL) says then why. */
bool file_is_there(const char *path, struct error *err);
/* The same where the difference does not matter. */
bool file_exists(const char *path);
bool folder_exists(const char *path);

/* Takes an exclusive lock on path (created if needed) until file_unlock or the end of the process. STATUS_LOCKED
 * if another process has it. */
enum status file_lock(const char *path, int *descriptor, struct error *err);
void file_unlock(int descriptor);

/* Joins two paths with '/'. malloc'ed; NULL when out of memory. */
char *path_join(const char *folder, const char *name);

#endif
