/* Chooses cases of a test program, before its main() runs: the first argument, or the environment variable TEST_CASE,
 * is a pattern with * and ? that may match anywhere in a case's name. `build/tests/test_cache shard` runs the cases
 * whose names contain "shard". An argument with a slash is a path, which some test programs take, and not a pattern.
 * Linked to every test program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* glibc passes main()'s arguments to constructors. */
__attribute__((constructor)) static void filter_cases(int argc, char **argv)
{
    static char anywhere[256]; /* cmocka keeps the pointer */
    const char *pattern = argc > 1 && !strchr(argv[1], '/') ? argv[1] : getenv("TEST_CASE");
    if (!pattern || !pattern[0])
        return;
    snprintf(anywhere, sizeof anywhere, "*%s*", pattern);
    cmocka_set_test_filter(anywhere);
}
