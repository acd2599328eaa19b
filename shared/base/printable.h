/* Text that comes from files, such as a cache's class names, may hold control characters, and a terminal obeys them. */
#ifndef SHARED_BASE_PRINTABLE_H
#define SHARED_BASE_PRINTABLE_H

#include <stddef.h>
#include <stdio.h>

/* Where a text stands in the middle of a character; zero-initialise it. */
struct printable {
    int expected; /* bytes of the UTF-8 character that are still to come */
    unsigned char lead;
};
enum { PRINTABLE_GROWTH = 4 }; /* "\x1b" for one byte */

/* Copies text to out[PRINTABLE_GROWTH * (size + 1)] and returns its length: control characters (of ASCII, except line
 * feed and tab, and of Latin-1, U+0080 to U+009F) and bytes that are not UTF-8 become "\x1b". The text may come in
 * pieces. */
size_t printable_copy(struct printable *state, const char *text, size_t size, char *out);

/* Prints a text like that. */
void printable_print(FILE *out, const char *text);

/* From now on everything that is printed to stdout goes through printable_copy. Call it once, in main. */
void printable_stdout(void);

#endif
