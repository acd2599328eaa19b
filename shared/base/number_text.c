#include "shared/base/number_text.h"

#include <stdio.h>
#include <stdlib.h>

const char *float_text(float value, char text[FLOAT_TEXT_SIZE])
{
    /* at least 4 digits, so that small whole numbers have no exponent */
    for (int digits = 4; digits <= 9; digits++) {
        snprintf(text, FLOAT_TEXT_SIZE, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return text;
}
