/* What every page that the programs write must be. Failures are cmocka failures. */
#ifndef TESTS_HELPER_HTML_H
#define TESTS_HELPER_HTML_H

/* Every tag is closed in order, every attribute is quoted, and no stray '<' or '&' is in the text. */
void assert_well_formed(const char *html);
/* It loads nothing and runs no script. */
void assert_self_contained(const char *html);
/* No number is broken, and every point of a line lies on its chart. */
void assert_drawable(const char *html);

#endif
