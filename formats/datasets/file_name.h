/* Names of files as valid UTF-8, which JSON and the cache's names need: a name on the disk may be any bytes. A byte
 * that is not part of valid UTF-8 is written \xHH, with two lower-case hexadecimal digits; so is a backslash (\x5c)
 * that would otherwise look like one of these. All other names stay as they are, and every name can be had back. */
#ifndef FORMATS_DATASETS_FILE_NAME_H
#define FORMATS_DATASETS_FILE_NAME_H

#include <stddef.h>

/* malloc'ed; NULL when out of memory. */
char *file_name_escape(const char *name);
char *file_name_unescape(const char *text);

#endif
