#include "shared/augment/portable_math.h"

#include <math.h>

/* floor, frexp and ldexp are exact by definition, so they may come from libm. */

static const double PI = 3.14159265358979323846, LN2 = 0.69314718055994530942;

/* Horner's scheme for the Taylor series 1 + z/(k*(k+1)) * (1 + z/((k+2)*(k+3)) * ...), eight factors. */
static double taylor(double z, int k)
{
    double sum = 1;
    for (int i = k + 14; i >= k; i -= 2)
        sum = 1 + z / (double)(i * (i + 1)) * sum;
    return sum;
}

void portable_sincos(double degrees, double *sine, double *cosine)
{
    double turns = floor(degrees / 90 + 0.5);
    double r = (degrees - 90 * turns) * (PI / 180); /* in [-pi/4, pi/4] */
    double s = r * taylor(-r * r, 2), c = taylor(-r * r, 1);
    switch ((int)turns & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
    }
}

double portable_log(double x)
{
    int exponent;
    double m = frexp(x, &exponent); /* in [0.5, 1) */
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    double t = (m - 1) / (m + 1), z = t * t, sum = 0; /* log m = 2 * atanh t, |t| < 0.172 */
    for (int i = 23; i >= 1; i -= 2)
        sum = sum * z + 1.0 / (double)i;
    return (double)exponent * LN2 + 2 * t * sum;
}

double portable_exp(double x)
{
    double k = floor(x / LN2 + 0.5), r = x - k * LN2, sum = 1;
    for (int i = 16; i >= 1; i--)
        sum = 1 + r / (double)i * sum;
    return ldexp(sum, (int)k);
}
