#include "shared/base/natural_order.h"

#include <stdbool.h>
#include <string.h>

static const char digits[] = "0123456789";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compares the runs of digits that begin at *a and *b, of any length, and moves behind them. */
static int compare_runs(const char **a, const char **b)
{
    const char *x = *a + strspn(*a, "0"), *y = *b + strspn(*b, "0");
    const size_t m = strspn(x, digits), n = strspn(y, digits);
    *a = x + m;
    *b = y + n;
    return m != n ? (m > n) - (m < n) : memcmp(x, y, m);
}

int natural_order(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        if (is_digit(*x) && is_digit(*y)) {
            const int order = compare_runs(&x, &y);
            if (order)
                return order;
        } else if (*x != *y) {
            return (unsigned char)*x - (unsigned char)*y;
        } else {
            x++;
            y++;
        }
    }
    return *x || *y ? (*x != 0) - (*y != 0) : strcmp(a, b);
}

int natural_order_entries(const void *a, const void *b)
{
    return natural_order(*(const char *const *)a, *(const char *const *)b);
}
