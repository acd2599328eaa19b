#include "shared/base/suggest.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { WORD_LIMIT = 64, MAX_EDITS = 3 }; /* a longer word is never a typo of one of our names */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, three rows at a time. */
static int edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int rows[3][WORD_LIMIT + 1]; /* rows[i % 3][j]: distance of the first i letters of a and j of b */
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]))
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *suggest(const char *word, const char *const *choices, int count)
{
    size_t length = strlen(word);
    if (length > WORD_LIMIT)
        return NULL;
    int best = least(MAX_EDITS, (int)(length + 2) / 3) + 1;
    const char *nearest = NULL;
    for (int i = 0; i < count; i++) {
        size_t choice_length = strlen(choices[i]);
        if (choice_length > WORD_LIMIT)
            continue;
        int distance = edit_distance(word, length, choices[i], choice_length);
        if (distance < best) {
            best = distance;
            nearest = choices[i];
        }
    }
    return nearest;
}
