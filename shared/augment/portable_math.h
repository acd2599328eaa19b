/* Elementary functions made of +, -, *, / only, so that a view's parameters do not depend on the version of libm.
 * Errors stay below 1e-15 relative to 1 (tests/test_view_make.c compares them with libm). */
#ifndef SHARED_AUGMENT_PORTABLE_MATH_H
#define SHARED_AUGMENT_PORTABLE_MATH_H

/* Sine and cosine of an angle in degrees, |degrees| < 1e6; multiples of 90 give exactly 0 and 1. */
void portable_sincos(double degrees, double *sine, double *cosine);
double portable_log(double x); /* x > 0, finite */
double portable_exp(double x); /* |x| < 100 */

#endif
