/* Shared objects that belong to the programs and are opened only when they are needed, such as an engine with a big
 * library behind it. */
#ifndef SHARED_BASE_LIBRARY_H
#define SHARED_BASE_LIBRARY_H

#include "shared/base/error.h"

/* Opens `file` beside the shared object that this code is part of (a backend that opens a part of its own), or in the
 * program's own folder, in the one above (programs in build/tests), or in ../lib/softcache beside it (installed), and
 * sets *symbol to what it exports as `name`. It stays loaded until the program ends. STATUS_CONFIG says where it was
 * looked for, or which library it misses. */
enum status library_symbol(const char *file, const char *name, const void **symbol, struct error *err);

#endif
