/* Shared objects of our own that are opened only when they are needed, such as an engine that needs a big library. */
#ifndef SHARED_BASE_LIBRARY_H
#define SHARED_BASE_LIBRARY_H

#include "shared/base/error.h"

enum { LIBRARY_PATH_SIZE = 4096 + 256 };

/* The path of `file`, one of our shared objects or helper programs. Looks beside the shared object that this code is
 * part of (a backend that opens a part of its own), in the program's own folder, in the folder above it (programs in
 * build/tests) and in ../lib/softcache (installed programs). STATUS_CONFIG says where it looked. */
enum status library_path(const char *file, char path[LIBRARY_PATH_SIZE], struct error *err);

/* Opens the shared object `file`, and sets *symbol to what it exports as `name`. The object stays loaded until the
 * program ends. STATUS_CONFIG says where it looked, or which library is missing. */
enum status library_symbol(const char *file, const char *name, const void **symbol, struct error *err);

#endif
