/* ce and kd on every backend against PyTorch: values and gradients of golden/losses.h5 (argument, or
 * $SOFTCACHE_SHARED/data), float64, within 1e-5 relative. */
#include "shared/base/files.h"
#include "student_train/loss_expression.h"
#include "tests/helper_device.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SAMPLES = 8, CLASSES = 11, VALUES = SAMPLES * CLASSES };
static const double TOLERANCE = 1e-5; /* the backend keeps gradients in float */

static char golden_path[1024];

/* Every entry of the file that is made of ce and kd only. */
static const struct {
    const char *entry, *loss;
} entries[] = {
    {"term/ce", "ce"},
    {"term/kl_batchmean_T1", "kd(T=1)"},
    {"term/kl_batchmean_T4", "0.0625*kd(T=4)"}, /* stored without T^2 */
    {"correct/000_kd_batchmean_T5", "0.5*ce + 0.5*kd(T=5)"},
    {"printed/001_loss_re_T1_a0.1", "0.9*ce + 0.1*kd(T=1)"},
    {"printed/001_loss_re_T4_a0.5", "0.5*ce + 0.5*kd(T=4)"},
    {"printed/002_kd_T20", "0.5*ce + 0.5*kd(T=20)"},
    {"printed/003_kd_T2", "0.75*ce + 0.25*kd(T=2)"},
};

static void read_values(hid_t file, const char *name, hid_t type, hssize_t count, void *out)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space;
    if (set < 0)
        fail_msg("no %s", name);
    space = H5Dget_space(set);
    assert_int_equal(H5Sget_simple_extent_npoints(space), count);
    assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0);
    H5Sclose(space);
    H5Dclose(set);
}

static void close_to(const char *entry, double got, double expected, double scale)
{
    if (!(fabs(got - expected) <= TOLERANCE * fmax(fabs(expected), scale)))
        fail_msg("%s: %.9g, PyTorch has %.9g", entry, got, expected);
}

/* The batch of the file. */
struct inputs {
    float logits[VALUES], teacher[VALUES];
    int32_t labels[SAMPLES];
};

/* The loss, and its gradient on the logits. */
static double run_loss(const struct test_device *t, const struct inputs *in, const struct loss_expression *loss,
                       float gradient[VALUES])
{
    const struct feed_content sizes = {.batch = SAMPLES, .room = SAMPLES, .students = 1, .classes = CLASSES};
    double metrics[METRIC_COUNT] = {0};
    struct error err = {0};
    struct test_feed f;
    test_feed_init(&f, t, &sizes, FEED_TEACHER);
    memcpy(f.content.labels, in->labels, sizeof in->labels);
    memcpy(f.content.teacher, in->teacher, sizeof in->teacher);
    for (int i = 0; i < loss->count; i++)
        f.content.scalars->weights[i] = loss->terms[i].weight;
    test_feed_upload(&f, t, 0);
    memset(gradient, 0, VALUES * sizeof *gradient);
    float *logits = test_device_buffer(t, in->logits, sizeof in->logits);
    const struct loss_batch batch = {
        .count = SAMPLES,
        .students = 1,
        .logits = logits,
        .gradient = test_device_buffer(t, gradient, VALUES * sizeof *gradient),
        .feed = &f.feed,
        .metrics = test_device_buffer(t, metrics, sizeof metrics),
    };
    for (int i = 0; i < loss->count; i++)
        test_must(t->backend->loss(t->device, &loss->terms[i], i, &batch, &err), &err);
    test_device_download(t, gradient, batch.gradient, VALUES * sizeof *gradient);
    test_device_download(t, metrics, batch.metrics, sizeof metrics);
    test_device_free(t, logits);
    test_device_free(t, batch.gradient);
    test_device_free(t, batch.metrics);
    test_feed_release(&f, t);
    return metrics[METRIC_LOSS] / SAMPLES;
}

static void losses_equal_pytorchs(void **state)
{
    struct inputs in;
    if (!file_exists(golden_path)) {
        print_message("# skip: no %s\n", golden_path);
        skip();
    }
    struct test_device t = test_device_open(*state, 1);
    hid_t file = H5Fopen(golden_path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    read_values(file, "inputs/student_logits", H5T_NATIVE_FLOAT, VALUES, in.logits);
    read_values(file, "inputs/teacher_logits", H5T_NATIVE_FLOAT, VALUES, in.teacher);
    read_values(file, "inputs/labels", H5T_NATIVE_INT32, SAMPLES, in.labels);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct loss_expression loss;
        float gradient[VALUES];
        double value, expected[VALUES], largest = 0;
        char name[128];
        assert_int_equal(loss_expression_parse(&loss, entries[i].loss, NULL), STATUS_OK);
        const double got = run_loss(&t, &in, &loss, gradient);
        snprintf(name, sizeof name, "%s/f64/value", entries[i].entry);
        read_values(file, name, H5T_NATIVE_DOUBLE, 1, &value);
        close_to(name, got, value, 0);
        snprintf(name, sizeof name, "%s/f64/grad/student_logits", entries[i].entry);
        read_values(file, name, H5T_NATIVE_DOUBLE, VALUES, expected);
        for (int k = 0; k < VALUES; k++)
            largest = fmax(largest, fabs(expected[k]));
        /* relative to the entry, or to a thousandth of the largest where terms cancel */
        for (int k = 0; k < VALUES; k++)
            close_to(name, gradient[k], expected[k], largest * 1e-3);
    }
    H5Fclose(file);
    test_device_close(&t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {ON_EVERY_BACKEND(losses_equal_pytorchs)};
    const char *shared = getenv("SOFTCACHE_SHARED");
    if (argc > 1)
        snprintf(golden_path, sizeof golden_path, "%s", argv[1]);
    else
        snprintf(golden_path, sizeof golden_path, "%s/data/golden/losses.h5", shared ? shared : "../shared");
    return cmocka_run_group_tests_name("loss_golden", tests, NULL, NULL);
}
