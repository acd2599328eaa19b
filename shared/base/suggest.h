/* "did you mean ...?" for names that a user mistyped. */
#ifndef SHARED_BASE_SUGGEST_H
#define SHARED_BASE_SUGGEST_H

/* The choice nearest to word by edit distance (insertions, deletions, substitutions, swaps of neighbours; case is
 * ignored), or NULL if none is near: at most 3 edits, and at most a third of the word, rounded up. Of equally near
 * choices the first wins. choices[count] and the result are borrowed. */
const char *suggest(const char *word, const char *const *choices, int count);

#endif
