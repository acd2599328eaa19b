/* Every term of the loss in whole runs, from the cache alone: on the CPU, and on CUDA through the execution shim or on
 * a GPU. Runs are repeatable and resumable, and nothing that terms train beside the student is left in the student. */
#define _GNU_SOURCE
#include "shared/base/files.h"
#include "tests/helper_program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIT "%s fit --cache rich --student tiny.net --batch 16 --quiet --lr 0.01 --loss '%s' "

/* 2 of 3 views have the teacher's map. */
static const char *const losses[] = {
    "ce + kd(T=2, standardise=yes) + 0.1*logit_mse + dkd(warmup=2) + dist + nkd + 0.1*ce(student=block1) + "
    "kd(T=2, reduction=mean, form=printed, ramp=0.5, ramp_epochs=2)",
    "ce + rld(T1=2) + wttm + abkd + 0.1*mlkd + kd(gate=0.4) + dist(gate=0.4, gated=ce)",
    "ce + hint(student=[stem_relu, block1], teacher=[stem_relu, stem_relu], regressor=conv1x1) + "
    "100*at(student=block1, "
    "teacher=stem_relu) + 0.1*vid(student=block1, teacher=stem_relu) + cosine(regressor=linear) + "
    "hint(student=stem_relu, teacher=stem_relu, distance=smooth_l1) + "
    "hint(student=stem_relu, teacher=stem_relu, distance=relative)",
    "ce + rkd_distance + rkd_angle + dm + 10*sp + 100*pkt + 0.02*cc + 0.1*crd(negatives=20)",
    "ce + rkd_distance(student=logits, teacher=logits) + hint(student=block1, teacher=logits, regressor=linear)",
};
enum { LOSSES = sizeof losses / sizeof *losses };

static int setup(void **state)
{
    const int code = program_setup(state);
    return code
               ? code
               : shell("%s run --data photos --teacher teacher.onnx --out rich --size 32 --base 36 --views 3 --augment "
                       "light --feature stem_relu:int8:views=2 --feature stem_gap --quiet",
                       dumper);
}

/* The last line of RUN/summary.csv; every loss in it is finite. */
static void finite_losses(const char *run)
{
    expect(0, "finite",
           shell("awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /loss/) want[i] = 1; next } "
                 "{ for (i in want) if ($i !~ /^-?[0-9.e+-]+$/) bad = 1; rows++ } "
                 "END { print rows && !bad ? \"finite\" : \"not so\" }' %s/summary.csv",
                 run));
}

static void trains_with_every_term(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 2 --out plain", program, "ce"));
    for (int i = 0; i < LOSSES; i++) {
        char once[32], again[32];
        snprintf(once, sizeof once, "run%d", i);
        snprintf(again, sizeof again, "again%d", i);
        expect(0, "best of 3 epochs", shell(FIT "--epochs 3 --ema 0.9 --out %s", program, losses[i], once));
        finite_losses(once);
        expect(0, "", shell(FIT "--epochs 3 --ema 0.9 --threads 3 --out %s", program, losses[i], again));
        same_run(once, again);
        expect(0, "same size",
               shell("[ $(stat -c %%s plain/best.safetensors) = $(stat -c %%s %s/best.safetensors) ] && "
                     "echo same size",
                     once));
        expect(0, "accuracy", shell("%s eval --run %s --quiet", program, once));
        expect(1, "differ", shell("cmp plain/best.safetensors %s/best.safetensors", once));
    }
}

/* The relative hint is the other one divided by a constant, the teacher's mean square. */
static void divides_by_the_teachers_mean_square(void **state)
{
    (void)state;
    expect(0, "",
           shell(FIT "--epochs 3 --out relative", program,
                 "ce + hint(student=stem_relu, teacher=stem_relu) + "
                 "hint(student=stem_relu, teacher=stem_relu, distance=relative)"));
    expect(
        0, "a constant",
        shell("awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } "
              "{ now = $at[\"loss_hint\"] / $at[\"loss_hint_2\"]; if (NR == 2) first = now; change = now / first - 1; "
              "if (change > 1e-5 || change < -1e-5 || (now > 0.99 && now < 1.01)) bad = 1 } "
              "END { print NR == 4 && !bad ? \"a constant\" : \"not so\" }' relative/summary.csv"));
}

static void stops_and_resumes(void **state)
{
    (void)state;
    for (int i = 0; i < LOSSES; i++) {
        char whole[32], halves[32];
        snprintf(whole, sizeof whole, "whole%d", i);
        snprintf(halves, sizeof halves, "halves%d", i);
        expect(0, "", shell(FIT "--epochs 3 --out %s", program, losses[i], whole));
        expect(0, "", shell(FIT "--epochs 3 --out %s --time-limit 0.0001", program, losses[i], halves));
        expect(0, "", shell(FIT "--epochs 3 --out %s --resume", program, losses[i], halves));
        same_run(whole, halves);
    }
}

static void trains_on_cuda_as_on_the_cpu(void **state)
{
    (void)state;
    const char *programs = getenv("SOFTCACHE_TEST_PROGRAMS");
    char cuda[4200], object[4300];
    snprintf(cuda, sizeof cuda, "%.*s", (int)(strlen(program) - strlen("/student_train")), program);
    snprintf(object, sizeof object, "%s/softcache_cuda.so", programs ? programs : strcat(cuda, "/shim"));
    snprintf(cuda, sizeof cuda, "%.*sstudent_train", (int)(strlen(object) - strlen("softcache_cuda.so")), object);
    if (!file_exists(cuda) || !file_exists(object)) {
        print_message("# skip: no %s\n", object);
        skip();
    }
    for (int i = 0; i < LOSSES; i++) {
        expect(0, "", shell(FIT "--epochs 2 --device cpu --overwrite --out cpu", program, losses[i]));
        expect(0, "", shell(FIT "--epochs 2 --device cuda --overwrite --out gpu", cuda, losses[i]));
        /* ten steps: all losses within a thousandth */
        expect(
            0, "equal",
            shell("paste -d, cpu/summary.csv gpu/summary.csv | awk -F, 'NR == 1 { n = NF / 2; for (i = 1; i <= n; i++) "
                  "if ($i ~ /loss/) want[i] = $i; next } { for (i in want) { d = $i - $(i + n); if (d < 0) d = -d; "
                  "s = $i < 0 ? -$i : $i; if (d > 1e-3 * s + 1e-6) print want[i], $i, $(i + n), bad = 1 } } "
                  "END { if (!bad) print \"equal\" }'"));
    }
    /* students side by side learn as they do alone */
    expect(0, "2 runs",
           shell("%s sweep --cache rich --student tiny.net --batch 16 --quiet --epochs 1 --loss "
                 "'ce + {a}*crd(negatives=20) + vid(student=block1, teacher=stem_relu)' --grid a=0.5,1 --device cuda "
                 "--parallel 2 --out together",
                 cuda));
    expect(0, "2 runs",
           shell("%s sweep --cache rich --student tiny.net --batch 16 --quiet --epochs 1 --loss "
                 "'ce + {a}*crd(negatives=20) + vid(student=block1, teacher=stem_relu)' --grid a=0.5,1 --device cuda "
                 "--parallel 1 --out alone",
                 cuda));
    same_file("alone", "together", "sweep.csv");
}

static void says_what_it_compares(void **state)
{
    (void)state;
    expect(0, "teacher stem_relu 8x8x8 (averaged from 16x16), int8, on 2 of 3 views",
           shell("%s fit --cache rich --student tiny.net --epochs 1 --loss 'ce + at(student=block1, "
                 "teacher=stem_relu)' --out said",
                 program));
    expect(78, "the cache has no feature 'layer4'",
           shell(FIT "--epochs 1 --out no", program, "ce + hint(student=block1, teacher=layer4)"));
    expect(78, "use regressor=conv1x1",
           shell(FIT "--epochs 1 --out no", program, "ce + hint(student=block1, teacher=stem_relu)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_with_every_term), cmocka_unit_test(divides_by_the_teachers_mean_square),
        cmocka_unit_test(stops_and_resumes),      cmocka_unit_test(trains_on_cuda_as_on_the_cpu),
        cmocka_unit_test(says_what_it_compares),
    };
    return cmocka_run_group_tests_name("methods", tests, setup, program_teardown);
}
