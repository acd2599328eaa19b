/* Pairs of floats (shared/training/losses/float_pair.cuh) against the arithmetic of long doubles. */
#include "tests/helper_shim.h"

#include "shared/training/losses/float_pair.cuh"

#include <math.h>

static const double EPSILON = 0x1p-44; /* what float_pair.cuh promises */

/* ---- operations on many numbers ---- */
enum operation { SUM, DIFFERENCE, PRODUCT, QUOTIENT, ROOT, EXPONENTIAL, LOGARITHM, OPERATIONS };
static const char *const names[OPERATIONS] = {"+", "-", "*", "/", "sqrt", "exp", "log"};
enum { NUMBERS = 20000, THREADS = 128 };

static __global__ void operate(enum operation operation, const double *a, const double *b, double *out)
{
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= NUMBERS)
        return;
    const float_pair x = a[i], y = b[i];
    const float_pair results[OPERATIONS] = {x + y, x - y, x * y, x / y, sqrt(fabs(x)), exp(x), log(fabs(x))};
    out[i] = (double)results[operation];
}

static long double expected_of(enum operation operation, long double a, long double b)
{
    const long double results[OPERATIONS] = {a + b, a - b, a * b, a / b, sqrtl(fabsl(a)), expl(a), logl(fabsl(a))};
    return results[operation];
}

/* How far a result may be off: relative to it, or to the operands where they
 * cancel. */
static long double allowed(enum operation operation, long double a, long double b, long double result)
{
    if (operation == SUM || operation == DIFFERENCE)
        return EPSILON * (fabsl(a) + fabsl(b));
    if (operation == EXPONENTIAL) /* and what its argument may be off */
        return (EPSILON + 0x1p-48 * fabsl(a)) * result;
    return EPSILON * (fabsl(result) + (operation == LOGARITHM)); /* which is 0 at 1 */
}

static uint64_t random_state = 1;
static double random_between(double least, double most)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return least + (most - least) * (double)(random_state >> 11) * 0x1p-53;
}
/* 48 bits: what a pair holds */
static double pair_of(double x)
{
    return (double)(float)x + (double)(float)(x - (double)(float)x);
}

static void check(enum operation operation, double least, double most)
{
    static double a[NUMBERS], b[NUMBERS], got[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        a[i] = pair_of(random_between(least, most));
        b[i] = pair_of(i % 3 ? random_between(least, most) : -a[i] * random_between(1, 1 + 1e-6)); /* or they cancel */
    }
    double *const x = device_copy(a, NUMBERS), *const y = device_copy(b, NUMBERS);
    double *const out = device_copy<double>(NULL, NUMBERS);
    LAUNCH(operate, (NUMBERS + THREADS - 1) / THREADS, THREADS, 0, 0, operation, x, y, out);
    assert_cuda(cudaGetLastError());
    device_take(got, out, NUMBERS);
    assert_cuda(cudaFree(x));
    assert_cuda(cudaFree(y));
    for (int i = 0; i < NUMBERS; i++) {
        const long double expected = expected_of(operation, a[i], b[i]), error = fabsl((long double)got[i] - expected);
        if (!(error <= allowed(operation, a[i], b[i], expected)))
            fail_msg("%.17g %s %.17g is %.17g, off by %Lg of %Lg", a[i], names[operation], b[i], got[i], error,
                     expected);
    }
}

static void results_are_near(void **)
{
    for (int i = 0; i < OPERATIONS; i++) {
        const enum operation operation = (enum operation)i;
        check(operation, -1, 1);
        check(operation, 0.5, 2);
        check(operation, -60, 60); /* below, low would lose digits */
        if (operation != EXPONENTIAL)
            check(operation, -1e12, 1e12);
    }
}

/* ---- sums of products ---- */
static __global__ void add_products(const float *a, const float *b, int count, double *out)
{
    float_pair of_floats = 0, of_pairs = 0;
    for (int i = 0; i < count; i++) {
        add_product(&of_floats, a[i], b[i]);
        add_product(&of_pairs, float_pair(a[i]), b[i]);
    }
    out[0] = (double)rounded(of_floats);
    out[1] = (double)rounded(of_pairs);
}

enum { COUNT = 1280 };
static void products_of(const float *a, const float *b, double got[2])
{
    float *const x = device_copy(a, COUNT), *const y = device_copy(b, COUNT);
    double *const out = device_copy<double>(NULL, 2);
    LAUNCH(add_products, 1, 1, 0, 0, x, y, (int)COUNT, out);
    assert_cuda(cudaGetLastError());
    device_take(got, out, 2);
    assert_cuda(cudaFree(x));
    assert_cuda(cudaFree(y));
}

/* Of numbers of few bits sums are exact, although all but the last bits cancel. */
static void sums_of_few_bits_are_exact(void **)
{
    float a[COUNT], b[COUNT];
    double got[2], expected = 0;
    for (int i = 0; i < COUNT; i++) {
        a[i] = 4096 + (float)(i * i % 977) / 64;
        b[i] = (float)(i % 2 ? -1 : 1) * (4096 + (float)(i * 7 % 991) / 64);
        expected += (double)a[i] * (double)b[i];
    }
    products_of(a, b, got);
    assert_true(got[0] == expected);
    assert_true(got[1] == expected);
}

static void sums_of_products_are_near(void **)
{
    float a[COUNT], b[COUNT];
    double got[2];
    long double expected = 0, all = 0;
    for (int i = 0; i < COUNT; i++) {
        a[i] = (float)random_between(-1, 1);
        b[i] = (float)random_between(-1, 1);
        expected += (long double)a[i] * b[i];
        all += fabsl((long double)a[i] * b[i]);
    }
    products_of(a, b, got);
    for (int i = 0; i < 2; i++)
        if (!(fabsl((long double)got[i] - expected) <= 0x1p-46 * all))
            fail_msg("%.17g, off by %Lg of %Lg", got[i], (long double)got[i] - expected, all);
}

/* ---- limits ---- */
static __global__ void limits(double *out)
{
    out[0] = (double)exp(float_pair(-100.0));
    out[1] = (double)exp(float_pair(100.0));
    out[2] = (double)exp(float_pair(0));
    out[3] = (double)log(float_pair(1));
    out[4] = (double)log(float_pair(0));
    out[5] = (double)sqrt(float_pair(0));
    out[6] = (double)exp(float_pair(NAN));
    out[7] = (double)fmax(float_pair(1.0), float_pair(1 + 0x1p-40));
}

static void limits_are_kept(void **)
{
    double got[8];
    double *const out = device_copy<double>(NULL, 8);
    LAUNCH(limits, 1, 1, 0, 0, out);
    assert_cuda(cudaGetLastError());
    device_take(got, out, 8);
    assert_true(got[0] == 0 && got[1] == INFINITY && got[2] == 1 && got[3] == 0 && got[4] == -INFINITY && got[5] == 0);
    assert_true(isnan(got[6]) && got[7] == 1 + 0x1p-40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_near),
        cmocka_unit_test(sums_of_few_bits_are_exact),
        cmocka_unit_test(sums_of_products_are_near),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests_name("float_pair", tests, NULL, NULL);
}
