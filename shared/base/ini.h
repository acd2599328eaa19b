/* INI text, the subset that configuration files use: "[section]", "key = value", lines that begin with '#' or ';'.
 * No comment after a value, so that every value survives; "..." around a value keeps outer blanks. No limit on the
 * length of a line (libinih has 200 characters, and cuts values at " ;"). */
#ifndef SHARED_BASE_INI_H
#define SHARED_BASE_INI_H

#include "shared/base/error.h"

/* One "key = value". section is "" before the first section. Strings are valid during the call only. Returns STATUS_OK
 * to go on; anything else ends the reading and is returned. place is "FILE:LINE", for messages. */
typedef enum status (*ini_handler)(void *context, const char *place, const char *section, const char *key,
                                   const char *value, struct error *err);

/* text is cut into pieces in place. path is for messages only. STATUS_CONFIG names file and line. */
enum status ini_parse(char *text, const char *path, ini_handler handler, void *context, struct error *err);
/* Reads a file of at most 1 MiB. STATUS_NO_INPUT, STATUS_CONFIG, STATUS_IO. */
enum status ini_read(const char *path, ini_handler handler, void *context, struct error *err);

#endif
