#include "teacher_dump/check_statistics.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

static const double CHANCE_LEVEL = 0.01;   /* better than guessing, if guessing does as well less often than this */
static const double USELESS_LEVEL = 0.003; /* a useful teacher does so badly less often than this */
static const double USEFUL_SHARE = 0.2;    /* of the way from guessing to perfect, that a useful teacher covers */

static double binomial_term(int k, int n, double p)
{
    if (p <= 0)
        return k == 0;
    if (p >= 1)
        return k == n;
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) + (n - k) * log1p(-p));
}

double binomial_at_least(int k, int n, double p)
{
    double sum = 0;
    for (int i = k > 0 ? k : 0; i <= n; i++)
        sum += binomial_term(i, n, p);
    return fmin(sum, 1);
}

double binomial_at_most(int k, int n, double p)
{
    double sum = 0;
    for (int i = 0; i <= k && i <= n; i++)
        sum += binomial_term(i, n, p);
    return fmin(sum, 1);
}

bool near_chance(int right, int n, double guess)
{
    const double useful = guess + USEFUL_SHARE * (1 - guess);
    return binomial_at_least(right, n, guess) > CHANCE_LEVEL && binomial_at_most(right, n, useful) < USELESS_LEVEL;
}

bool significantly_better(int gained, int lost, double level)
{
    return gained > lost && binomial_at_least(gained, gained + lost, 0.5) < level;
}

/* ---- assignment ---- */

/* Rows and columns count from 1; 0 is where a path begins. */
struct assignment {
    const int *values;
    int n;
    long *row_potential, *column_potential, *slack; /* [n + 1] */
    int *row_of, *before;                           /* [n + 1] of each column; row 0: free */
    bool *visited;                                  /* [n + 1] */
};

static long cost(const struct assignment *a, int row, int column)
{
    const long value = a->values[(row - 1) * a->n + column - 1];
    return -(value * 2 * a->n + (row == column)); /* the diagonal decides between equal sums */
}

/* Visits the column that is cheapest to reach from the visited ones; returns it. */
static int step(struct assignment *a, int column)
{
    const int row = a->row_of[column];
    long least = LONG_MAX;
    int next = 0;
    a->visited[column] = true;
    for (int j = 1; j <= a->n; j++) {
        if (a->visited[j])
            continue;
        const long reduced = cost(a, row, j) - a->row_potential[row] - a->column_potential[j];
        if (reduced < a->slack[j]) {
            a->slack[j] = reduced;
            a->before[j] = column;
        }
        if (a->slack[j] < least) {
            least = a->slack[j];
            next = j;
        }
    }
    for (int j = 0; j <= a->n; j++) {
        if (a->visited[j]) {
            a->row_potential[a->row_of[j]] += least;
            a->column_potential[j] -= least;
        } else {
            a->slack[j] -= least;
        }
    }
    return next;
}

static void assign_row(struct assignment *a, int row)
{
    int column = 0;
    a->row_of[0] = row;
    for (int j = 0; j <= a->n; j++) {
        a->slack[j] = LONG_MAX;
        a->visited[j] = false;
    }
    do
        column = step(a, column);
    while (a->row_of[column] != 0);
    for (; column != 0; column = a->before[column])
        a->row_of[column] = a->row_of[a->before[column]];
}

bool best_assignment(const int *values, int n, int *row_of_column)
{
    const size_t count = (size_t)n + 1;
    struct assignment a = {.values = values, .n = n};
    a.row_potential = calloc(3 * count, sizeof *a.row_potential);
    a.row_of = calloc(2 * count, sizeof *a.row_of);
    a.visited = calloc(count, sizeof *a.visited);
    const bool memory = a.row_potential && a.row_of && a.visited;
    if (memory) {
        a.column_potential = a.row_potential + count;
        a.slack = a.column_potential + count;
        a.before = a.row_of + count;
        for (int row = 1; row <= n; row++)
            assign_row(&a, row);
        for (int j = 1; j <= n; j++)
            row_of_column[j - 1] = a.row_of[j] - 1;
    }
    free(a.row_potential);
    free(a.row_of);
    free(a.visited);
    return memory;
}
