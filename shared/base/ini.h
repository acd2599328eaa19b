/* INI text, the subset that configuration files use: "[section]", "key = value", lines that begin with '#' or ';'.
 * A comment needs a line of its own, so that a value may contain any character; "..." around a value keeps outer
 * blanks. A line may have any length (libinih stops at 200 characters and cuts values at " ;"). */
#ifndef SHARED_BASE_INI_H
#define SHARED_BASE_INI_H

#include "shared/base/error.h"

/* One "key = value". section is "" before the first section. Strings are valid during the call only. Returns STATUS_OK
 * to continue; any other status ends the reading and is returned. place is "FILE:LINE", for messages. */
typedef enum status (*ini_handler)(void *context, const char *place, const char *section, const char *key,
                                   const char *value, struct error *err);

/* Cuts text into pieces in place. path is for messages only. STATUS_CONFIG names file and line. */
enum status ini_parse(char *text, const char *path, ini_handler handler, void *context, struct error *err);
/* Reads a file of at most 1 MiB. STATUS_NO_INPUT, STATUS_CONFIG, STATUS_IO. */
enum status ini_read(const char *path, ini_handler handler, void *context, struct error *err);

#endif
