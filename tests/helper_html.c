#define _GNU_SOURCE
#include "tests/helper_html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_DEPTH = 64, NAME_SIZE = 24 };

static bool is_void_element(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0;
}

/* Fails unless every tag is closed in order, every attribute is quoted and no stray '<' or '&' is in the text. */
void assert_well_formed(const char *html)
{
    char open[MAX_DEPTH][NAME_SIZE];
    int depth = 0;
    assert_int_equal(strncmp(html, "<!DOCTYPE html>", 15), 0);
    for (const char *at = html + 15; *at; at++) {
        if (*at == '&' && strncmp(at, "&lt;", 4) && strncmp(at, "&gt;", 4) && strncmp(at, "&amp;", 5) &&
            strncmp(at, "&quot;", 6) && strncmp(at, "&#39;", 5))
            fail_msg("unescaped & at: %.40s", at);
        if (*at != '<')
            continue;
        bool closing = at[1] == '/';
        const char *name = at + 1 + closing;
        int length = (int)strspn(name, "abcdefghijklmnopqrstuvwxyz123456789");
        if (length == 0 || length >= NAME_SIZE)
            fail_msg("stray < at: %.40s", at);
        bool quoted = false;
        for (at = name + length; *at && (quoted || *at != '>'); at++) {
            quoted ^= *at == '"';
            assert_false(quoted && *at == '<');
        }
        assert_int_equal(*at, '>');
        if (closing) {
            assert_true(depth > 0);
            depth--;
            if ((int)strlen(open[depth]) != length || strncmp(open[depth], name, (size_t)length) != 0)
                fail_msg("</%.*s> closes <%s>", length, name, open[depth]);
        } else if (at[-1] != '/') {
            assert_true(depth < MAX_DEPTH);
            snprintf(open[depth], NAME_SIZE, "%.*s", length, name);
            depth += !is_void_element(open[depth]);
        }
    }
    assert_int_equal(depth, 0);
}

void assert_self_contained(const char *html)
{
    static const char *const banned[] = {"http:",   "https:",  "src=",  "href=",  "url(",
                                         "@import", "<script", "<link", "<iframe"};
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        for (const char *at = html; (at = strcasestr(at, banned[i])) != NULL; at++)
            if (strncmp(at, "src=\"data:image/jpeg;base64,", 28) != 0)
                fail_msg("the page loads something: %.60s", at);
}

/* No number of the page is broken, and every point of a line lies on its chart (520 x 276). */
void assert_drawable(const char *html)
{
    assert_null(strstr(html, "nan"));
    assert_null(strstr(html, "inf"));
    for (const char *path = html; (path = strstr(path, " d=\"")) != NULL;)
        for (path += 4; *path != '"';) {
            assert_true(*path == 'M' || *path == 'L');
            char *end;
            double x = strtod(path + 1, &end), y = strtod(end, &end);
            if (!(x >= 0 && x <= 520 && y >= 0 && y <= 276))
                fail_msg("a point lies outside of its chart: %.60s", path);
            path = end;
        }
}
