/* Which features a loss compares: names, shapes, defaults, messages, and what the terms train. */
#include "formats/net/net_text.h"
#include "student_train/loss/loss_binding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char student_text[] = "conv b1 8 3x3 /2 pad 1\nbn\nrelu\n"
                                   "conv b2 16 3x3 /2 pad 1\nbn\nrelu\n"
                                   "gap\nfc classifier classes\n";
enum { CLASSES = 5, SAMPLES = 40, VIEWS = 4 };

struct fixture {
    struct graph student;
    struct cache_manifest manifest;
    struct loss_expression loss;
    struct loss_binding binding;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct net_text_options options = {"student", 3, 32, CLASSES};
    const struct cache_feature features[] = {
        {.tensor = "map", .form = FEATURE_INT8, .c = 24, .h = 8, .w = 8, .views = 2},
        {.tensor = "small", .form = FEATURE_FP16, .c = 16, .h = 4, .w = 4, .views = VIEWS},
        {.tensor = "embedding", .form = FEATURE_FP16, .c = 12, .h = 1, .w = 1, .views = VIEWS},
        {.tensor = "attention", .form = FEATURE_AT, .c = 1, .h = 8, .w = 8, .views = VIEWS},
        {.tensor = "attention16", .form = FEATURE_AT, .c = 1, .h = 16, .w = 16, .views = VIEWS},
    };
    assert_non_null(f);
    assert_int_equal(net_text_parse(&f->student, student_text, strlen(student_text), &options, &f->err), STATUS_OK);
    graph_initialise(&f->student, 7);
    f->manifest = (struct cache_manifest){.class_count = CLASSES, .views = VIEWS, .feature_count = 5};
    f->manifest.splits[SPLIT_TRAIN].samples = SAMPLES;
    memcpy(f->manifest.features, features, sizeof features);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    graph_release(&f->student);
    free(f);
    return 0;
}

static void bind(struct fixture *f, const char *loss)
{
    f->err = (struct error){0};
    assert_int_equal(loss_expression_parse(&f->loss, loss, &f->err), STATUS_OK);
    if (loss_bind(&f->binding, &f->loss, &f->student, &f->manifest, 3, &f->err) != STATUS_OK)
        fail_msg("%s: %s", loss, f->err.message);
}

static void expect_student(const struct fixture *f, int pair, const char *node, int c, int h, int w)
{
    const struct loss_feature *feature = &f->binding.student_features[f->binding.pairs[pair].student_feature];
    assert_string_equal(f->binding.graph.nodes[feature->of].name, node);
    assert_int_equal(feature->channels, c);
    assert_int_equal(feature->h, h);
    assert_int_equal(feature->w, w);
}

static void expect_teacher(const struct fixture *f, int pair, int of, int h, int w)
{
    const struct loss_feature *feature = &f->binding.teacher_features[f->binding.pairs[pair].teacher_feature];
    assert_int_equal(feature->of, of);
    assert_int_equal(feature->h, h);
    assert_int_equal(feature->w, w);
}

static void finds_features(void **state)
{
    struct fixture *f = *state;
    bind(f, "ce + hint(student=b2, teacher=small, regressor=conv3x3)"); /* b2 is 16x8x8 before its batch norm */
    expect_student(f, 0, "hint.0.regressor", 16, 4, 4);
    expect_teacher(f, 0, 1, 4, 4);
    assert_false(f->binding.partial);
    loss_binding_release(&f->binding);

    bind(f, "hint(student=[b2_relu, b1_relu], teacher=[map, map], regressor=conv1x1)");
    assert_int_equal(f->binding.pair_count, 2);
    expect_student(f, 0, "hint.0.regressor", 24, 8, 8);
    expect_student(f, 1, "hint.1.regressor", 24, 8, 8); /* from 16x16 */
    assert_int_equal(f->binding.pairs[0].teacher_feature, f->binding.pairs[1].teacher_feature);
    assert_int_equal(f->binding.views[0], 2);
    assert_true(f->binding.partial && f->binding.cache_features[0] && !f->binding.cache_features[1]);
    loss_binding_release(&f->binding);

    bind(f, "at(student=b1_relu, teacher=map) + at(student=b2_relu, teacher=attention)");
    expect_student(f, 0, "b1_relu", 8, 8, 8);
    expect_student(f, 1, "b2_relu", 16, 8, 8);
    loss_binding_release(&f->binding);
}

static void takes_the_embeddings(void **state)
{
    struct fixture *f = *state;
    bind(f, "rkd_distance + rkd_angle + cosine(regressor=linear) + crd + ce(student=b2_relu)");
    expect_student(f, 0, "b2_gap", 16, 1, 1);
    expect_teacher(f, 0, 2, 1, 1);
    assert_int_equal(f->binding.pairs[0].student_feature, f->binding.pairs[1].student_feature);
    expect_student(f, 2, "cosine.0.regressor", 12, 1, 1);
    expect_student(f, 3, "crd.0.embedding", LOSS_EMBEDDING, 1, 1);
    expect_student(f, 4, "b2_relu", 16, 1, 1);
    assert_int_equal(f->binding.pairs[4].teacher_feature, -1);
    loss_binding_release(&f->binding);
    f->manifest.feature_count = 2; /* maps only */
    bind(f, "rkd_distance");
    expect_student(f, 0, "classifier", CLASSES, 1, 1);
    expect_teacher(f, 0, FEATURE_LOGITS, 1, 1);
    loss_binding_release(&f->binding);
}

/* The student's weights stay unchanged; the terms' weights come after them and depend on the seed. */
static void trains_beside_the_student(void **state)
{
    struct fixture *f = *state;
    bind(f, "vid(student=b2_relu, teacher=map) + crd");
    const struct graph *graph = &f->binding.graph;
    for (int i = 0; i < f->student.weight_count; i++)
        assert_memory_equal(graph->weights[i].data, f->student.weights[i].data,
                            f->student.weights[i].count * sizeof(float));
    assert_int_equal(graph->output, f->student.output);
    const struct weight *scale = &graph->weights[f->binding.pairs[0].learned[LEARNED_SCALE]];
    assert_int_equal(scale->count, 24);
    assert_float_equal(log1p(exp((double)scale->data[0])) + 1e-5, 5, 1e-5);
    const struct weight *memory = &graph->weights[f->binding.pairs[1].learned[LEARNED_MEMORY_STUDENT]];
    assert_int_equal(memory->count, SAMPLES * LOSS_EMBEDDING);
    assert_false(memory->trained);
    const struct weight *matrix = &graph->weights[f->binding.pairs[1].learned[LEARNED_WEIGHT]];
    assert_int_equal(matrix->count, 12 * LOSS_EMBEDDING);
    const float before = matrix->data[5], of_memory = memory->data[9];
    assert_true(before != 0 && fabsf(of_memory) <= sqrtf(3.0f / LOSS_EMBEDDING) && of_memory != 0);
    loss_binding_begin(&f->binding, &f->loss, &f->student, 4);
    assert_true(matrix->data[5] != before && memory->data[9] != of_memory);
    assert_float_equal(log1p(exp((double)scale->data[3])) + 1e-5, 5, 1e-5);
    loss_binding_begin(&f->binding, &f->loss, &f->student, 3);
    assert_true(matrix->data[5] == before && memory->data[9] == of_memory);
    loss_binding_release(&f->binding);
}

static void says_what_is_compared(void **state)
{
    struct fixture *f = *state;
    bind(f, "hint(student=b1_relu, teacher=map, regressor=conv1x1) + pkt");
    char *text = loss_binding_describe(&f->binding, &f->loss, &f->manifest);
    assert_string_equal(text,
                        "hint: student hint.0.regressor 24x8x8 (averaged from 16x16), teacher map 24x8x8, int8, on "
                        "2 of 4 views\npkt: student b2_gap 16x1x1, teacher embedding 12x1x1, fp16\n");
    free(text);
    loss_binding_release(&f->binding);
}

static void refuses(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"hint(student=b3, teacher=map)", "the student has no feature 'b3', did you mean 'b1'?"},
        {"hint(student=b1, teacher=mop)", "the cache has no feature 'mop', did you mean 'map'?; it has: map, small"},
        {"hint(student=b1_relu, teacher=map)", "the student's b1_relu is 8x16x16, the teacher's map is 24x8x8; use "
                                               "regressor=conv1x1"},
        {"hint(student=b1_relu, teacher=map, regressor=linear)", "24x8x8; use regressor=conv1x1"},
        {"cosine", "12x1x1; use regressor=linear"},
        {"at", "at compares maps; name them"},
        {"hint(student=b1, teacher=attention, regressor=conv1x1)", "only the attention map"},
        {"hint(student=b1, teacher=logits, regressor=linear, distance=relative)", "use distance=mse"},
        {"at(student=b2, teacher=attention16)", "16x16; record the tensor as fp16 or int8"},
        {"ce(student=b1)", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f->err = (struct error){0};
        assert_int_equal(loss_expression_parse(&f->loss, cases[i][0], &f->err), STATUS_OK);
        const enum status status = loss_bind(&f->binding, &f->loss, &f->student, &f->manifest, 3, &f->err);
        if (!cases[i][1] ? status != STATUS_OK : status != STATUS_CONFIG || !strstr(f->err.message, cases[i][1]))
            fail_msg("'%s' gave %d: %s", cases[i][0], (int)status, f->err.message);
        loss_binding_release(&f->binding);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_features, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_the_embeddings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trains_beside_the_student, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("loss_binding", tests, NULL, NULL);
}
