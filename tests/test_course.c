/* What changes over the epochs of a run: images that grow (--size A:B), values and weights in 8 bits (--qat). */
#define _GNU_SOURCE
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIT "%s fit --cache cache --student tiny.net --batch 16 --quiet --loss '0.5*ce + 0.5*kd(T=4)' "

/* A column of summary.csv in an epoch, as it is written. */
static void number_of(const char *run, const char *name, int epoch, char text[64])
{
    assert_int_equal(shell("awk -F, -v name=%s 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } "
                           "NR == %d { print $c }' %s/summary.csv",
                           name, epoch + 1, run),
                     0);
    assert_true(output[0] != '\n' && output[0] != 0);
    snprintf(text, 64, "%.60s", output);
}

static bool same_number(const char *a, const char *b, const char *name, int epoch)
{
    char x[64], y[64];
    number_of(a, name, epoch, x);
    number_of(b, name, epoch, y);
    return strcmp(x, y) == 0;
}

/* The first epochs are those of the small size; the best weights are evaluated with the large one. */
static void images_grow(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 4 --size 32 --out small", program));
    expect(0, "", shell(FIT "--epochs 4 --size 64 --out large", program));
    expect(0, "", shell(FIT "--epochs 4 --size 32:64 --out growing", program));
    assert_true(same_number("growing", "small", "train_loss", 1));
    assert_true(same_number("growing", "small", "train_loss", 2));
    assert_false(same_number("growing", "small", "train_loss", 3));
    assert_false(same_number("growing", "large", "train_loss", 1));
    assert_false(same_number("growing", "small", "val_loss", 1)); /* the same weights, other images */
    expect(0, "64", shell("grep -o '\"size\":[[:space:]]*64' growing/run.json"));
    expect(0, "", shell(FIT "--epochs 4 --size 32:64 --eval-every 4 --out rarely", program));
    assert_true(same_number("growing", "rarely", "train_loss", 4)); /* evaluating between the epochs changes nothing */
}

/* Stopped anywhere, or side by side with another: the same bytes. Moments and averages go from size to size. */
static void growing_runs_repeat(void **state)
{
    (void)state;
#define GROWING FIT "--epochs 6 --size 32:96 --ema 0.9 "
    expect(0, "", shell(GROWING "--out calm", program));
    expect(0, "", shell(GROWING "--threads 1 --out thread", program));
    same_run("calm", "thread");
    expect(0, "stopped early",
           shell(GROWING "--out stopped --time-limit 1e-6", program)); /* after each epoch, so at every size */
    for (int epoch = 2; epoch < 6; epoch++)
        expect(0, "stopped early", shell(GROWING "--out stopped --resume --time-limit 1e-6", program));
    expect(0, "", shell(GROWING "--out stopped --resume", program));
    same_run("calm", "stopped");
    expect(0, "2 runs",
           shell("%s sweep --cache cache --student tiny.net --batch 16 --quiet --loss '0.5*ce + 0.5*kd(T={T})' "
                 "--epochs 6 --size 32:96 --ema 0.9 --grid T=2,4 --parallel 2 --out together",
                 program));
    same_run("calm", "together/runs/0002_T=4");
}

static void refuses_other_sizes(void **state)
{
    (void)state;
    static const char *const sizes[] = {
        "64:32", "32:32", "40:64", "0:64", "32:", ":64", "32:64:96", "x", "-32", "99999"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        expect(64, "multiple of 32 apart", shell(FIT "--epochs 2 --size=%s --out bad", program, sizes[i]));
    expect(0, "", shell("printf 'conv a 4 3x3 /2 pad 1\\nrelu\\nfc b classes\\n' >flat.net"));
    expect(78, "end it with gap",
           shell("%s fit --cache cache --student flat.net --epochs 2 --size 32:64 --quiet --out bad", program));
    expect(0, "", shell("%s export --run large --out exported", program));
    expect(78, "one size",
           shell("%s fit --cache cache --student exported/student.onnx --epochs 2 --size 32:64 --quiet --out bad",
                 program));
}

/* The first epochs are those of a run without; then values and weights are rounded, and the best epoch is one of
 * those. */
static void quantisation_begins_later(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 5 --out plain", program));
    expect(0, "", shell(FIT "--epochs 5 --qat 2 --out rounded", program));
    expect(0, "", shell("! grep qat plain/config.ini && grep 'qat = 2' rounded/config.ini"));
    assert_true(same_number("plain", "rounded", "train_loss", 1));
    assert_true(same_number("plain", "rounded", "val_loss", 2));
    assert_false(same_number("plain", "rounded", "train_loss", 3));
    expect(0, "",
           shell("! grep -a int8_ranges plain/best.safetensors && grep -aq int8_ranges rounded/best.safetensors"));
    /* patience waits, and the only rounded epoch is the best one, although it is no better than the others */
    expect(0, "", shell(FIT "--epochs 5 --qat 4 --patience 1 --lr 0 --out patient", program));
    expect(0, "5", shell("grep -o '\"best_epoch\":[[:space:]]*5' patient/metrics.json"));
    expect(0, "", shell("grep -aq int8_ranges patient/best.safetensors"));
    expect(0, "",
           shell("grep -q '\"int8\":[[:space:]]*true' rounded/metrics.json && ! grep '\"int8\"' plain/metrics.json"));
    /* whoever reads the weights reads those of a float network */
    expect(0, "", shell("%s eval --run rounded --cache cache --quiet", program));
    expect(0, "trained", shell("%s export --run rounded --out rounded-int8 --int8 --quiet", program));
    expect(0, "",
           shell("%s fit --cache cache --student rounded-int8/student.onnx --epochs 2 --qat 1 --batch 16 "
                 "--quiet --out onnx",
                 program));
    expect(0, "", shell("grep -aq int8_ranges onnx/best.safetensors"));
    expect(64, "must be less than --epochs 5", shell(FIT "--epochs 5 --qat 5 --out bad", program));
    expect(0, "", shell("printf 'conv a 4 3x3 pad 1\\nlayernorm\\nrelu\\ngap\\nfc b classes\\n' >norm.net"));
    expect(78, "has no form in integers",
           shell("%s fit --cache cache --student norm.net --epochs 2 --qat 1 --quiet --out bad", program));
}

/* What student.c says that it needs is what the budget counts. */
static void activations_have_a_budget(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 1 --out budget", program));
    expect(0, "bytes of RAM", shell("%s export --run budget --out budget-c --int8 --c --quiet", program));
    const char *found = strstr(output, "(int8: ");
    assert_non_null(found);
    const long bytes = strtol(found + strlen("(int8: "), NULL, 10);
    char needed[64];
    snprintf(needed, sizeof needed, "needs %ld bytes of RAM", bytes);
    expect(0, "", shell(FIT "--epochs 1 --max-activation-bytes %ld --out budget2", program, bytes));
    expect(78, needed, shell(FIT "--epochs 1 --max-activation-bytes %ld --out budget3", program, bytes - 1));
}

/* Stopped anywhere, with other threads, or side by side with another: the same bytes, with growing images and moving
 * averages, too. */
static void quantised_runs_repeat(void **state)
{
    (void)state;
#define ROUNDED FIT "--epochs 6 --size 32:64 --ema 0.9 --qat 2 "
    expect(0, "", shell(ROUNDED "--out still", program));
    expect(0, "", shell(ROUNDED "--threads 1 --out alone", program));
    same_run("still", "alone");
    expect(0, "", shell("grep -aq int8_ranges still/best.safetensors")); /* known to the moving average, too */
    expect(0, "stopped early",
           shell(ROUNDED "--out cut --time-limit 1e-6", program)); /* after each epoch, in each form */
    for (int epoch = 2; epoch < 6; epoch++)
        expect(0, "stopped early", shell(ROUNDED "--out cut --resume --time-limit 1e-6", program));
    expect(0, "", shell(ROUNDED "--out cut --resume", program));
    same_run("still", "cut");
    expect(0, "2 runs",
           shell("%s sweep --cache cache --student tiny.net --batch 16 --quiet --loss '0.5*ce + 0.5*kd(T={T})' "
                 "--epochs 6 --size 32:64 --ema 0.9 --qat 2 --grid T=2,4 --parallel 2 --out pair",
                 program));
    same_run("still", "pair/runs/0002_T=4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_grow),
        cmocka_unit_test(growing_runs_repeat),
        cmocka_unit_test(refuses_other_sizes),
        cmocka_unit_test(quantisation_begins_later),
        cmocka_unit_test(activations_have_a_budget),
        cmocka_unit_test(quantised_runs_repeat),
    };
    return cmocka_run_group_tests_name("course", tests, program_setup, program_teardown);
}
