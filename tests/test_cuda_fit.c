/* Whole programs on the CUDA backend, through the execution shim ($BUILD/shim; SOFTCACHE_TEST_PROGRAMS names a folder
 * with programs for a real GPU): the same training as on the CPU, with the same bits when repeated, resumable, in
 * little memory. */
#define _GNU_SOURCE
#include "shared/base/files.h"
#include "tests/helper_device.h"
#include "tests/helper_program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char cuda[4200]; /* student_train with the backend under test beside it */
static bool native;     /* a real GPU */

static int setup(void **state)
{
    const char *programs = getenv("SOFTCACHE_TEST_PROGRAMS");
    char object[4300];
    int code = program_setup(state);
    native = programs != NULL;
    if (programs)
        snprintf(cuda, sizeof cuda, "%s/student_train", programs);
    else
        snprintf(cuda, sizeof cuda, "%.*s/shim/student_train", (int)(strlen(program) - strlen("/student_train")),
                 program);
    snprintf(object, sizeof object, "%.*s/softcache_cuda.so", (int)(strlen(cuda) - strlen("/student_train")), cuda);
    if (code == 0 && !native && (!file_exists(cuda) || !file_exists(object))) {
        print_message("# skip: no %s\n", object);
        cuda[0] = 0;
    }
    return code;
}

static void need_backend(void)
{
    if (!cuda[0])
        skip();
}

#define FIT "%s fit --cache cache --student tiny.net --batch 16 --quiet --lr 0.01 --loss '0.5*ce + 0.5*kd(T=2)' "

/* Reads a column of RUN/summary.csv into values[rows]. */
static int column(const char *run, const char *name, double *values, int capacity)
{
    char path[4300], line[4096];
    int wanted = -1, rows = 0;
    snprintf(path, sizeof path, "%s/%s/summary.csv", folder, run);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && rows < capacity) {
        char *at = line;
        int index = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *field; (field = strsep(&at, ",")); index++) {
            if (wanted < 0 && strcmp(field, name) == 0)
                wanted = -2 - index;
            else if (index == wanted)
                values[rows++] = strtod(field, NULL);
        }
        if (wanted < -1)
            wanted = -2 - wanted;
    }
    fclose(file);
    return rows;
}

static void close_curves(const char *a, const char *b, double tolerance)
{
    static const char *const names[] = {"train_loss", "eval_loss", "loss_ce", "loss_kd"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double x[64], y[64];
        const int rows = column(a, names[i], x, 64);
        assert_true(rows > 0);
        assert_int_equal(column(b, names[i], y, 64), rows);
        for (int r = 0; r < rows; r++)
            if (!(fabs(x[r] - y[r]) <= tolerance * fabs(x[r])))
                fail_msg("%s of epoch %d: %s has %.9g, %s has %.9g", names[i], r + 1, a, x[r], b, y[r]);
    }
}

static void trains_as_the_cpu_does(void **state)
{
    (void)state;
    need_backend();
    expect(0, "best of 10 epochs", shell(FIT "--epochs 10 --ema 0.9 --device cpu --out cpu", program));
    expect(0, "best of 10 epochs", shell(FIT "--epochs 10 --ema 0.9 --device cuda --out gpu", cuda));
    close_curves("cpu", "gpu", 1e-3); /* 50 steps; the masks of dropout are the same */
    expect(0, "accuracy", shell("%s eval --run gpu --device cuda --quiet", cuda));
    char kept[sizeof output];
    memcpy(kept, output, sizeof kept);
    expect(0, "accuracy", shell("%s eval --run gpu --device cpu --quiet", program));
    /* the loss may differ in its last digit, predictions may not */
    assert_string_equal(strchr(kept, '\n'), strchr(output, '\n'));
}

/* Images that grow. */
static void grows_as_on_the_cpu(void **state)
{
    (void)state;
    need_backend();
    expect(0, "",
           shell("printf 'conv stem 8 3x3 /2 pad 1 nobias\nbn\nrelu\nresidual a 8 5x5\n"
                 "inverted b 8 16 3x3\ngap\nfc fc classes\n' >deep.net"));
#define GROWING                                                                                            \
    "%s fit --cache cache --student deep.net --batch 16 --quiet --loss '0.5*ce + 0.5*kd(T=4)' --epochs 2 " \
    "--size 32:64 --ema 0.9 "
    expect(0, "", shell(GROWING "--device cpu --out cpu_grows", program));
    expect(0, "", shell(GROWING "--device cuda --out gpu_grows", cuda));
    close_curves("cpu_grows", "gpu_grows", 1e-3);
}

/* Values and weights in 8 bits: a value next to a half may round to the other side. */
static void rounds_as_the_cpu_does(void **state)
{
    (void)state;
    need_backend();
#define ROUNDED FIT "--epochs 3 --qat 1 --ema 0.9 "
    expect(0, "", shell(ROUNDED "--device cpu --out cpu_rounds", program));
    expect(0, "", shell(ROUNDED "--device cuda --out gpu_rounds", cuda));
    close_curves("cpu_rounds", "gpu_rounds", 1e-2);
    if (native)
        return;
    char order[4300];
    snprintf(order, sizeof order, "SHIM_ORDER=reverse %s", cuda);
    expect(0, "", shell(ROUNDED "--device cuda --out reverse_rounds", order));
    same_run("gpu_rounds", "reverse_rounds");
}

static void repeats_to_the_bit(void **state)
{
    (void)state;
    need_backend();
    expect(0, "", shell(FIT "--epochs 3 --device cuda --out once", cuda));
    expect(0, "", shell(FIT "--epochs 3 --device cuda --out again --threads 1", cuda));
    same_run("once", "again");
    if (native)
        return;
    char order[4300];
    snprintf(order, sizeof order, "SHIM_ORDER=reverse %s", cuda);
    expect(0, "", shell(FIT "--epochs 3 --device cuda --out reverse", order));
    same_run("once", "reverse");
}

static void bf16_learns_too(void **state)
{
    (void)state;
    need_backend();
    if (!native) {
        char old[4300];
        snprintf(old, sizeof old, "SHIM_CAPABILITY=75 %s", cuda);
        expect(78, "no bfloat16", shell(FIT "--epochs 4 --device cuda --precision bf16 --out refused", old));
    }
    if (!test_device_has_bf16("cuda"))
        skip();
    expect(0, "", shell(FIT "--epochs 4 --device cuda --out full", cuda));
    expect(0, "", shell(FIT "--epochs 4 --device cuda --precision bf16 --out half", cuda));
    close_curves("full", "half", 0.05);
    expect(0, "", shell(FIT "--epochs 4 --device cpu --precision bf16 --out half_cpu", cuda));
    close_curves("half", "half_cpu", 0.05);
}

static void side_by_side_changes_nothing(void **state)
{
    (void)state;
    need_backend();
#define SWEEP                                                                                              \
    "%s sweep --cache cache --student tiny.net --batch 16 --quiet --epochs 2 --loss 'ce + {a}*kd(T={T})' " \
    "--grid a=0.5,1 --grid T=2 --grid lr=0.01,0.002 --grid seed=1 --device cuda "
    expect(0, "4 runs", shell(SWEEP "--parallel 1 --out alone", cuda));
    expect(0, "4 runs", shell(SWEEP "--parallel 3 --out together", cuda));
    same_file("alone", "together", "sweep.csv");
    expect(0, "same",
           shell("cd alone/runs; for d in *; do for f in best.safetensors summary.csv; do "
                 "cmp \"$d/$f\" \"../../together/runs/$d/$f\" || exit 1; done; done; echo same"));
}

static void killed_and_resumed(void **state)
{
    (void)state;
    need_backend();
    expect(0, "", shell(FIT "--epochs 4 --device cuda --out calm", cuda));
    expect(0, "", shell(FIT "--epochs 4 --device cuda --out killed --time-limit 0.01", cuda));
    /* --foreground: timeout does not kill itself too, and so ends after the program, which has a lock until then */
    shell("timeout --foreground -s KILL 0.5 " FIT "--epochs 4 --device cuda --out killed --resume", cuda);
    expect(0, "", shell(FIT "--epochs 4 --device cuda --out killed --resume", cuda));
    same_run("calm", "killed");
}

static void little_memory(void **state)
{
    (void)state;
    need_backend();
    expect(0, "", shell(FIT "--epochs 2 --device cuda --out plenty", cuda));
    /* less and less memory, until something does not fit: every run before that gives the same bytes */
    int fitted = 0;
    for (int kilobytes = 4096; kilobytes >= 64; kilobytes -= kilobytes / 8) {
        int code = shell(FIT "--epochs 2 --device cuda --overwrite --out little --gpu-memory %dK", cuda, kilobytes);
        if (code != 0) {
            expect(78, "out of GPU memory: requested", code);
            break;
        }
        fitted++;
        same_run("plenty", "little");
    }
    assert_true(fitted > 0);
    expect(78, "--gpu-memory", shell(FIT "--epochs 2 --device cuda --out none --gpu-memory 4K", cuda));
}

static void says_why_there_is_no_gpu(void **state)
{
    (void)state;
    need_backend();
    if (native)
        skip();
    char blind[4300];
    snprintf(blind, sizeof blind, "SHIM_DEVICES=0 %s", cuda);
    expect(78, "is not available", shell(FIT "--epochs 1 --device cuda --out blind", blind));
    expect(78, "is not available", shell(FIT "--epochs 1 --device cuda:3 --out blind", cuda));
    expect(0, "best of 1 epochs", shell(FIT "--epochs 1 --out blind", blind));
    expect(0, "CPU", shell("grep -h '\"device\"' blind/metrics.json"));
    expect(0, "shim",
           shell(FIT "--epochs 1 --out seeing >/dev/null && grep -h '\"device\"' seeing/metrics.json", cuda));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_as_the_cpu_does),   cmocka_unit_test(grows_as_on_the_cpu),
        cmocka_unit_test(rounds_as_the_cpu_does),   cmocka_unit_test(repeats_to_the_bit),
        cmocka_unit_test(bf16_learns_too),          cmocka_unit_test(side_by_side_changes_nothing),
        cmocka_unit_test(killed_and_resumed),       cmocka_unit_test(little_memory),
        cmocka_unit_test(says_why_there_is_no_gpu),
    };
    return cmocka_run_group_tests_name("cuda_fit", tests, setup, program_teardown);
}
