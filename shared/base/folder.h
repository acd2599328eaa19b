/* A folder that is held open, for everything that the programs write. Names in it are looked up from its descriptor and
 * links are never followed, so that no link in a folder that came from somebody else leads our writing or deleting out
 * of it. Calls that a signal interrupts are made again. */
#ifndef SHARED_BASE_FOLDER_H
#define SHARED_BASE_FOLDER_H

#include "shared/base/error.h"
#include "shared/base/files.h"
#include <stdbool.h>
#include <stddef.h>

struct open_folder {
    int descriptor; /* -1: closed */
    char *path;     /* for messages; owned */
};

enum { FOLDER_PATH_SIZE = 4096 };
/* FOLDER/NAME in a buffer, cut if it is too long: for messages. Returns the buffer. */
const char *folder_place(char path[FOLDER_PATH_SIZE], const struct open_folder *folder, const char *name);

/* Opens an existing folder. The path itself may lead through links: the user gave it. STATUS_NO_INPUT: there is none;
 * STATUS_IO. After an error the folder is closed. */
enum status folder_open(struct open_folder *folder, const char *path, struct error *err);
/* Opens the folder `name` in another one; make: creates it if it is missing. STATUS_CANT_CREATE: it is a link or a
 * file, or cannot be made; STATUS_NO_INPUT: it is missing. */
enum status folder_enter(struct open_folder *folder, const struct open_folder *parent, const char *name, bool make,
                         struct error *err);
void folder_close(struct open_folder *folder); /* accepts a closed one */

/* What `name` is; a link is FILE_OTHER. STATUS_IO if that cannot be found out, which is not the same as absent. */
enum status folder_look(const struct open_folder *folder, const char *name, enum file_kind *kind, struct error *err);
/* All names that do not begin with a dot, in byte order. Free with folder_list_free. */
enum status folder_entries(const struct open_folder *folder, struct folder_entry **entries, size_t *count,
                           struct error *err);
/* The same; *hidden (may be NULL) gets the number of names that begin with a dot ("." and ".." do not count). */
enum status folder_entries_visible(const struct open_folder *folder, struct folder_entry **entries, size_t *count,
                                   size_t *hidden, struct error *err);

/* As file_read, file_publish and file_lock, for a name in the folder; digest.h has digest_in_folder. */
enum status folder_read(const struct open_folder *folder, const char *name, size_t limit, unsigned char **bytes,
                        size_t *size, struct error *err);
enum status folder_publish(const struct open_folder *folder, const char *name, const void *bytes, size_t size,
                           struct error *err);
enum status folder_lock(const struct open_folder *folder, const char *name, int *descriptor, struct error *err);

/* Removes a file or link; one that is missing is fine. STATUS_IO. */
enum status folder_remove(const struct open_folder *folder, const char *name, struct error *err);
/* Removes the folder `name` if it is empty; one that is missing or not empty is fine. STATUS_IO. */
enum status folder_remove_folder(const struct open_folder *folder, const char *name, struct error *err);
/* Waits until names that were made or removed are on the disk. STATUS_IO. */
enum status folder_sync(const struct open_folder *folder, struct error *err);

/* True if `entry` is the name that folder_publish gives `name` while it writes: NAME.PID.tmp. A process that was killed
 * leaves it. */
bool folder_is_temporary(const char *entry, const char *name);
/* Removes the temporary files of `name`. The caller knows that no living process writes it. */
void folder_remove_temporary(const struct open_folder *folder, const char *name);

/* Names for a message: folder_names_text gives "a, b, c and 4 more". Zero-initialise it. */
struct folder_names {
    char text[400];
    int count, listed;
};
void folder_names_add(struct folder_names *names, const char *name);
const char *folder_names_text(struct folder_names *names);

#endif
