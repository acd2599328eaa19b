/* The terms of the loss on every backend against PyTorch: values and gradients of golden files, in float64, within 1e-5
 * relative. Files: the argument; otherwise $SOFTCACHE_SHARED/data/golden/losses.h5 if it exists, and the committed
 * tests/golden/losses_logits.h5. Entries that are not in the table below are reported as skipped. */
#include "shared/base/files.h"
#include "student_train/loss/loss_expression.h"
#include "tests/helper_golden_file.h"
#include "tests/helper_loss.h"
#include "tests/helper_regressor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double TOLERANCE = 1e-5; /* the backends store gradients as floats */

#define FEATURES "student=student_feature, teacher=teacher_feature"
#define MAPS "student=student_map, teacher=teacher_map"
#define STAGES                                                                          \
    "student=[student_feature1, student_feature2, student_feature3, student_feature4]," \
    "teacher=[teacher_feature1, teacher_feature2, teacher_feature3, teacher_feature4]"

/* What computes an entry; the names of values are those of the file's inputs. */
static const struct known {
    const char *entry, *loss;
    bool mixed; /* samples are mixed, by the inputs share and partner_labels */
} known[] = {
    {"term/ce", "ce"},
    {"term/kl_batchmean_T1", "kd(T=1)"},
    {"term/kl_batchmean_T4", "0.0625*kd(T=4)"}, /* stored without T^2 */
    {"term/mse_feature", "hint(" FEATURES ")"},
    {"term/mse_map", "hint(" MAPS ")"},
    {"term/cosine_embedding", "cosine(" FEATURES ")"},
    {"term/rkd_distance_paper", "rkd_distance(" FEATURES ")"},
    {"term/rkd_distance_seed", "dm(" FEATURES ")"},
    {"term/rkd_angle_paper", "rkd_angle(" FEATURES ")"},
    {"term/rkd_angle_seed", "rkd_angle(" FEATURES ", distance=mse)"},
    {"correct/000_dm", "0.5*ce + 0.5*dm(" FEATURES ")"},
    {"correct/000_fitnet", "0.5*ce + 0.5*hint(" FEATURES ")"},
    {"correct/000_fitnet_on_maps", "0.5*ce + 0.5*hint(" MAPS ")"},
    {"correct/000_kd_batchmean_T5", "0.5*ce + 0.5*kd(T=5)"},
    {"correct/000_rkd", "0.5*ce + 0.5*dm(" FEATURES ") + 0.5*rkd_angle(" FEATURES ", distance=mse)"},
    {"correct/003_cosine", "0.75*ce + 0.25*cosine(" FEATURES ")"},
    /* cross entropy of a feature with the labels: not a classifier, but its value is well defined */
    {"printed/000_dm", "0.5*ce(student=student_feature) + 0.5*dm(" FEATURES ")"},
    {"printed/000_fitnet", "0.5*ce(student=student_feature) + 0.5*hint(" FEATURES ")"},
    {"printed/000_rkd",
     "0.5*ce(student=student_feature) + 0.5*dm(" FEATURES ") + 0.5*rkd_angle(" FEATURES ", distance=mse)"},
    {"printed/000_kd_mean", "0.5*ce + 0.5*kd(T=5, reduction=mean, form=printed)"},
    {"printed/001_loss_fe_b0.1", "ce + 0.1*hint(" STAGES ")"},
    {"printed/001_loss_re_T1_a0.1", "0.9*ce + 0.1*kd(T=1)"},
    {"printed/001_loss_re_T4_a0.5", "0.5*ce + 0.5*kd(T=4)"},
    {"printed/002_kd_T20", "0.5*ce + 0.5*kd(T=20)"},
    {"printed/003_cosine_self", "0.75*ce"}, /* the cosine of the student with itself adds 0 */
    {"printed/003_kd_T2", "0.75*ce + 0.25*kd(T=2)"},
    {"term/logit_mse", "logit_mse"},
    {"term/lskd", "lskd(T=2)"},
    {"term/dkd", "dkd"},
    {"term/dkd_a2_b0.5_T1", "dkd(alpha=2, beta=0.5, T=1)"},
    {"term/lskd_dkd", "dkd(T=2, standardise=yes)"},
    {"term/dist", "dist"},
    {"term/dist_b2_g0.5_T1", "dist(beta=2, gamma=0.5, T=1)"},
    {"term/nkd", "nkd"},
    {"term/nkd_g0.5_T3", "nkd(gamma=0.5, T=3)"},
    {"term/rld", "rld"},
    {"term/rld_a2_b0.5_T1", "rld(alpha=2, beta=0.5, T=1, T1=3)"},
    {"term/wttm", "wttm"},
    {"term/wttm_g1.5", "wttm(gamma=1.5)"},
    {"term/abkd", "abkd"},
    {"term/abkd_a1.5_b0.5_T1", "abkd(alpha=1.5, beta=0.5, T=1)"},
    {"term/mlkd", "mlkd"},
    {"term/mlkd_b0.3_g2_T2", "mlkd(beta=0.3, gamma=2, T=2)"},
    {"term/kd_gated_label", "kd(gate=0.5)"},
    {"term/kd_gated_wrong",
     "kd(gate=0.001, gated=ce)"}, /* views on which it is wrong, with more than 0.001 for the label */
    {"term/kd_gated_ce", "kd(gate=0.5, gated=ce)"},
    {"term/dist_gated_ce", "dist(gate=0.5, gated=ce)"},
    {"term/mlkd_gated_ce", "mlkd(gate=0.5, gated=ce)"},
    {"term/logit_mse_gated_label", "logit_mse(gate=0.5, soften=0.3)"},
    {"term/kd_printed_T5", "kd(T=5, form=printed)"},
    {"term/ce_smoothed", "ce(label_smoothing=0.1)"},
    {"term/regressor1x1_mse", "hint(" MAPS "32, regressor=conv1x1)"},
    {"term/regressor3x3_mse", "hint(" MAPS "32, regressor=conv3x3)"},
    {"correct/003_regressor1x1", "0.75*ce + 0.25*hint(" MAPS "32, regressor=conv1x1)"},
    {"printed/003_regressor3x3", "0.75*ce + 0.25*hint(" MAPS "32, regressor=conv3x3)"},
    {"term/ce_mixed", "ce(label_smoothing=0.1)", true},
    {"term/ce_on_map", "ce(student=student_map)"},
};

static const struct known *find_known(const char *entry)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].entry, entry) == 0)
            return &known[i];
    return NULL;
}

/* A file's inputs, and the sums of a loss's gradients by them: [inputs.count], in the layouts of the inputs. */
struct problem {
    const struct test_device *t;
    const struct golden_tensors *inputs;
    double *gradients[GOLDEN_MAX_TENSORS];
};

static const struct golden_tensor *input_of(const struct problem *p, const char *name)
{
    const struct golden_tensor *input = golden_tensors_find(p->inputs, name);
    if (!input)
        fail_msg("the file has no input %s", name);
    return input;
}

static void add_gradient(struct problem *p, const struct golden_tensor *input, const float *gradient)
{
    double *sum = p->gradients[input - p->inputs->items];
    for (size_t i = 0; i < input->count; i++)
        sum[i] += gradient[golden_tensor_place(input, i)];
}

static struct view_mix *mixes_of(const struct golden_tensor *shares)
{
    struct view_mix *mixes = calloc(shares->count, sizeof *mixes);
    assert_non_null(mixes);
    for (size_t i = 0; i < shares->count; i++)
        mixes[i] = (struct view_mix){.kind = VIEW_MIX_BLEND, .share = (int32_t)shares->values[i]};
    return mixes;
}

/* What a term compares: the names of a pair of features, or NULL. */
struct pair {
    const char *student, *teacher;
    enum loss_regressor regressor;
};

static struct loss_case make_case(const struct problem *p, const struct loss_term *term, bool mixed)
{
    const struct golden_tensor *logits = input_of(p, "student_logits");
    return (struct loss_case){
        .terms = term,
        .shape = {.batch = logits->dims[0], .classes = logits->dims[1]},
        .logits = golden_tensor_floats(logits),
        .teacher_logits = golden_tensor_floats(input_of(p, "teacher_logits")),
        .labels = golden_tensor_integers(input_of(p, "labels")),
        .mixes = mixed ? mixes_of(input_of(p, "share")) : NULL,
        .partner_labels = mixed ? golden_tensor_integers(input_of(p, "partner_labels")) : NULL,
    };
}

static void release_case(const struct loss_case *c)
{
    const void *const all[] = {c->logits,         c->teacher_logits, c->labels, c->mixes,
                               c->partner_labels, c->student,        c->teacher};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free((void *)(uintptr_t)all[i]);
}

static float *floats(size_t count)
{
    float *values = calloc(count + 1, sizeof *values);
    assert_non_null(values);
    return values;
}

/* A term on a student's map c->student behind a regressor: adds the gradients and returns the value. */
static double run_behind_regressor(struct problem *p, struct loss_case *c, const struct golden_tensor *map,
                                   const struct pair *pair)
{
    const bool small = pair->regressor == REGRESSOR_CONV1X1;
    const struct golden_tensor *weight = input_of(p, small ? "regressor1x1_weight" : "regressor3x3_weight");
    const struct golden_tensor *bias = input_of(p, small ? "regressor1x1_bias" : "regressor3x3_bias");
    const struct shape shape = {map->dims[1], map->dims[2], map->dims[3]};
    const size_t count = (size_t)map->dims[0] * (size_t)c->shape.pixels * (size_t)weight->dims[0];
    float *map_values = golden_tensor_floats(map), *value = floats(count), *gradient = floats(count);
    float *weights = floats(weight->count), *biases = floats(bias->count);
    struct regressor r;
    double loss;
    for (size_t i = 0; i < weight->count; i++)
        weights[i] = (float)weight->values[i];
    for (size_t i = 0; i < bias->count; i++)
        biases[i] = (float)bias->values[i];
    regressor_init(&r, p->t, map->dims[0], shape, weight->dims[0], weight->dims[2], map_values, weights, biases);
    regressor_forward(&r, value);
    c->shape.channels = weight->dims[0];
    free((void *)(uintptr_t)c->student);
    c->student = value;
    loss_case_run(p->t, c, &(struct loss_result){.values = &loss, .student_gradient = gradient});
    regressor_backward(&r, gradient, map_values, weights, biases);
    add_gradient(p, map, map_values);
    for (size_t i = 0; i < weight->count; i++)
        p->gradients[weight - p->inputs->items][i] += weights[i];
    for (size_t i = 0; i < bias->count; i++)
        p->gradients[bias - p->inputs->items][i] += biases[i];
    regressor_release(&r);
    free(map_values);
    free(gradient);
    free(weights);
    free(biases);
    return loss;
}

/* Adds a term's weighted gradients; returns its weighted value. */
static double run_term(struct problem *p, const struct loss_term *term, bool mixed, struct pair pair)
{
    const struct golden_tensor *logits = input_of(p, "student_logits");
    const struct golden_tensor *student = pair.student ? input_of(p, pair.student) : NULL;
    const struct golden_tensor *teacher = pair.teacher ? input_of(p, pair.teacher) : NULL;
    struct loss_case c = make_case(p, term, mixed);
    float *gradient = floats(logits->count), *student_gradient = student ? floats(student->count) : NULL;
    double value;
    if (student) {
        c.shape.channels = student->dims[1];
        c.shape.pixels = student->dims[2] * student->dims[3];
        c.student = golden_tensor_floats(student);
    }
    if (teacher) {
        c.shape.teacher_channels = teacher->dims[1];
        c.shape.teacher_pixels = teacher->dims[2] * teacher->dims[3];
        c.teacher = golden_tensor_floats(teacher);
    }
    if (pair.regressor != REGRESSOR_NONE) {
        value = run_behind_regressor(p, &c, student, &pair);
    } else {
        loss_case_run(p->t, &c, &(struct loss_result){&value, gradient, student_gradient, NULL});
        add_gradient(p, logits, gradient);
        if (student)
            add_gradient(p, student, student_gradient);
    }
    free(gradient);
    free(student_gradient);
    release_case(&c);
    return term->weight * value;
}

static double run_loss(struct problem *p, const struct known *entry)
{
    struct loss_expression loss;
    struct error err = {0};
    double value = 0;
    test_must(loss_expression_parse(&loss, entry->loss, &err), &err);
    for (int i = 0; i < loss.count; i++) {
        const struct feature_names *names = &loss.features[i];
        if (names->student_count == 0)
            value += run_term(p, &loss.terms[i], entry->mixed, (struct pair){0});
        for (int pair = 0; pair < names->student_count; pair++)
            value +=
                run_term(p, &loss.terms[i], entry->mixed,
                         (struct pair){names->student[pair], pair < names->teacher_count ? names->teacher[pair] : NULL,
                                       names->regressor});
    }
    return value;
}

static double largest_of(const struct golden_tensor *tensors, int count)
{
    double largest = 0;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < tensors[i].count; k++)
            largest = fmax(largest, fabs(tensors[i].values[k]));
    return largest;
}

/* The least number that differences of gradients are relative to, because the terms of a gradient may cancel: a
 * thousandth of the entry's largest gradient. For a regressor's weights, which are sums of hundreds of float products,
 * a tenth of the largest: relative to a thousandth, PyTorch's own float gradients differ from its double ones by 8e-5.
 */
static double scale_of(const struct golden_tensors *expected, const struct golden_tensor *gradient)
{
    return strncmp(gradient->name, "regressor", strlen("regressor")) == 0
               ? 0.1 * largest_of(gradient, 1)
               : 1e-3 * largest_of(expected->items, expected->count);
}

/* Relative to the expected value, or to `scale` if that is larger. */
static void close_to(const char *entry, const char *what, double got, double expected, double scale)
{
    if (!(fabs(got - expected) <= TOLERANCE * fmax(fabs(expected), scale)))
        fail_msg("%s, %s: %.9g, PyTorch has %.9g", entry, what, got, expected);
}

static void check_entry(struct problem *p, const struct golden_file *golden, const struct golden_entry *entry,
                        const struct known *how)
{
    struct golden_tensors expected;
    golden_file_gradients(golden, entry, &expected);
    assert_true(expected.count > 0);
    for (int i = 0; i < p->inputs->count; i++) {
        p->gradients[i] = calloc(p->inputs->items[i].count + 1, sizeof **p->gradients);
        assert_non_null(p->gradients[i]);
    }
    close_to(entry->name, "value", run_loss(p, how), entry->value, 0);
    for (int i = 0; i < expected.count; i++) {
        const struct golden_tensor *gradient = &expected.items[i], *input = input_of(p, gradient->name);
        const double scale = scale_of(&expected, gradient);
        assert_int_equal(gradient->count, input->count);
        for (size_t k = 0; k < gradient->count; k++)
            close_to(entry->name, gradient->name, p->gradients[input - p->inputs->items][k], gradient->values[k],
                     scale);
    }
    for (int i = 0; i < p->inputs->count; i++)
        free(p->gradients[i]);
    golden_tensors_release(&expected);
}

struct setting {
    const char *backend, *path;
};

static void losses_equal_pytorchs(void **state)
{
    const struct setting *setting = *state;
    static struct golden_file golden;
    int checked = 0;
    if (!file_exists(setting->path)) {
        print_message("# skip: no %s\n", setting->path);
        skip();
    }
    struct test_device t = test_device_open(setting->backend, 1);
    golden_file_open(&golden, setting->path);
    for (int i = 0; i < golden.entry_count; i++) {
        const struct golden_entry *entry = &golden.entries[i];
        const struct known *how = find_known(entry->name);
        struct problem problem = {.t = &t, .inputs = &golden.inputs};
        if (!entry->has_value || !how) {
            print_message("# skip: %s %s\n", entry->name, entry->has_value ? "is unknown to the test" : "has no value");
            continue;
        }
        check_entry(&problem, &golden, entry, how);
        checked++;
    }
    golden_file_close(&golden);
    test_device_close(&t);
    if (checked == 0)
        fail_msg("%s has no entry that this test knows", setting->path);
}

int main(int argc, char **argv)
{
    char given[1024];
    const char *shared = getenv("SOFTCACHE_SHARED");
    snprintf(given, sizeof given, "%s/data/golden/losses.h5", shared ? shared : "../shared");
    if (argc > 1)
        snprintf(given, sizeof given, "%s", argv[1]);
    struct setting settings[] = {{"cpu", given},
                                 {"cuda", given},
                                 {"cpu", "tests/golden/losses_logits.h5"},
                                 {"cuda", "tests/golden/losses_logits.h5"}};
    const struct CMUnitTest tests[] = {
        {"given values on cpu", losses_equal_pytorchs, NULL, NULL, &settings[0]},
        {"given values on cuda", losses_equal_pytorchs, NULL, NULL, &settings[1]},
        {"logits on cpu", losses_equal_pytorchs, NULL, NULL, &settings[2]},
        {"logits on cuda", losses_equal_pytorchs, NULL, NULL, &settings[3]},
    };
    return cmocka_run_group_tests_name("loss_golden", tests, NULL, NULL);
}
