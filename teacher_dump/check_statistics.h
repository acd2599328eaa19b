/* The tests by which `teacher_check.h` tells a finding from chance. Pure functions. */
#ifndef TEACHER_DUMP_CHECK_STATISTICS_H
#define TEACHER_DUMP_CHECK_STATISTICS_H

#include <stdbool.h>

/* P(X >= k) and P(X <= k) for X of Binomial(n, p). */
double binomial_at_least(int k, int n, double p);
double binomial_at_most(int k, int n, double p);

/* Whether `right` of n answers are no better than guessing, where `guess` is the share that guessing gets right: they
 * are not significantly more than that, and significantly fewer than those of a teacher that covers a fifth of the way
 * from guessing to perfect. With few answers neither can be told, so nothing is found. */
bool near_chance(int right, int n, double guess);

/* McNemar's exact test of two ways to answer the same questions: the second is right on `gained` that the first has
 * wrong, and wrong on `lost` that the first has right. Whether it is better, at this level of significance. */
bool significantly_better(int gained, int lost, double level);

/* The assignment of columns to rows with the largest sum of values[n, n] (Kuhn 1955, in the form with potentials):
 * row_of_column[n]. Of equal sums, one that leaves more on the diagonal. n is at most CHECK_MAX_ASSIGNED. values are at
 * most 2^20. False when out of memory. */
enum { CHECK_MAX_ASSIGNED = 256 };
bool best_assignment(const int *values, int n, int *row_of_column);

#endif
