#include "formats/datasets/file_name.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 character that `at` begins with (RFC 3629); 0 if it is none. */
static size_t character_length(const unsigned char *at)
{
    static const struct {
        unsigned char first, last, low, high; /* of the first byte, and of the second */
        size_t length;
    } forms[] = {{0x01, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
                 {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
                 {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last)
            continue;
        if (forms[i].length > 1 && (at[1] < forms[i].low || at[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((at[k] & 0xC0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(const char *at)
{
    return at[0] == '\\' && at[1] == 'x' && digit(at[2]) >= 0 && digit(at[3]) >= 0;
}

char *file_name_escape(const char *name)
{
    char *text = malloc(4 * strlen(name) + 1), *to = text;
    for (const char *at = name; text && *at;) {
        const size_t length = is_escape(at) ? 0 : character_length((const unsigned char *)at);
        if (length == 0) {
            to += sprintf(to, "\\x%02x", (unsigned char)*at++);
            continue;
        }
        memcpy(to, at, length);
        to += length;
        at += length;
    }
    if (text)
        *to = '\0';
    return text;
}

char *file_name_unescape(const char *text)
{
    char *name = malloc(strlen(text) + 1), *to = name;
    for (const char *at = text; name && *at; to++) {
        *to = is_escape(at) ? (char)(digit(at[2]) * 16 + digit(at[3])) : *at;
        at += is_escape(at) ? 4 : 1;
    }
    if (name)
        *to = '\0';
    return name;
}
