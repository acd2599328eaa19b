/* Terms on rows of logits on every backend: slopes, extremes, mixed views, several students. */
#include "tests/helper_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 5, CLASSES = 7 };

static void fill(float *z, size_t count, float scale, int phase)
{
    for (size_t i = 0; i < count; i++)
        z[i] = scale * sinf((float)(i * 7 + 3) * 0.61f + (float)phase);
}

static void gradients_are_slopes(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    float logits[COUNT * CLASSES], teacher[COUNT * CLASSES];
    const int32_t labels[COUNT] = {2, 0, -1, 6, 3};
    const struct loss_term terms[] = {
        {.kind = LOSS_CE, .weight = 0.7f},
        {.kind = LOSS_KD, .weight = 0.9f, .temperature = 4},
    };
    fill(logits, COUNT * CLASSES, 2, 0);
    fill(teacher, COUNT * CLASSES, 3, 1);
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        const struct loss_case c = {.terms = &terms[i],
                                    .shape = {.batch = COUNT, .classes = CLASSES},
                                    .logits = logits,
                                    .teacher_logits = teacher,
                                    .labels = labels};
        loss_case_slopes(&t, &c, 1.0f / 256, 1e-5);
    }
    test_device_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_EVERY_BACKEND(gradients_are_slopes)};
    return cmocka_run_group_tests_name("loss_logits", tests, NULL, NULL);
}
