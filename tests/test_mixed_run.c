/* Mixed views through both stages: what the student is shown is what the teacher has answered, on every backend, and
 * nothing of it depends on threads, batches or the order of an epoch. Programs: $BUILD (build). */
#include "formats/onnx/onnx_read.h"
#include "shared/base/files.h"
#include "shared/graph/graph_reference.h"
#include "student_train/trainer/trainer.h"
#include "tests/helper_device.h"
#include "tests/helper_program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIT "%s fit --cache mixed --student tiny.net --batch 16 --quiet "
enum { SIZE = 32, PIXELS = SIZE * SIZE, BATCH = 24, CLASSES = 3 };

/* A cache of mixed views beside that of the other tests. */
static int set_up(void **state)
{
    int code = program_setup(state);
    if (code == 0)
        code = shell("%s run --data photos --teacher teacher.onnx --out mixed --size 32 --base 36 --views 2 --quiet "
                     "--augment 'light+color_jitter(contrast=0.8)+erase+mixup(alpha=1)+cutmix' --device cpu",
                     dumper);
    if (code != 0)
        fprintf(stderr, "teacher_dump: %s\n", output);
    return code;
}

/* The training split on a backend, and the teacher. */
struct scene {
    struct test_device t;
    struct compute compute;
    struct cache cache;
    struct dataset dataset;
    struct graph teacher;
    struct trainer_options options;
    struct loss_expression loss;
    struct trainer trainer;
};

static void open_scene(struct scene *s, const char *backend, enum dataset_use use)
{
    struct error err = {0};
    struct progress progress;
    char *path = path_join(folder, "mixed"), *onnx = path_join(folder, "teacher.onnx");
    const struct onnx_read_options reading = {.height = SIZE, .width = SIZE};
    *s = (struct scene){.t = test_device_open(backend, 2), .options = {.batch = BATCH, .seed = 7}};
    s->compute = (struct compute){.backend = s->t.backend, .device = s->t.device};
    progress_init(&progress, stderr, true);
    test_must(thread_pool_new(&s->compute.pool, 2, &err), &err);
    test_must(cache_open(&s->cache, path, &err), &err);
    test_must(dataset_load(&s->dataset, &s->cache, SPLIT_TRAIN, use, SIZE, &s->compute, &progress, &err), &err);
    test_must(onnx_read_file(&s->teacher, onnx, &reading, &err), &err);
    s->trainer = (struct trainer){.compute = &s->compute, .options = &s->options, .student_count = 1};
    s->trainer.classes = CLASSES;
    s->trainer.students[0] = (struct trainer_student){.loss = &s->loss, .schedule = {.epochs = 4}};
    free(path);
    free(onnx);
}

static void close_scene(struct scene *s)
{
    trainer_epoch_release(&s->trainer);
    graph_release(&s->teacher);
    dataset_release(&s->dataset);
    cache_release(&s->cache);
    thread_pool_free(s->compute.pool);
    test_device_close(&s->t);
}

/* What the teacher says about pixels[PIXELS, 3] as the student sees them. */
static void ask_teacher(const struct scene *s, const float *pixels, float logits[CLASSES])
{
    static float planes[3 * PIXELS];
    struct error err = {0};
    for (int i = 0; i < 3 * PIXELS; i++)
        planes[i % 3 * PIXELS + i / 3] = pixels[i];
    test_must(graph_forward_reference(&s->teacher, planes, 1, s->teacher.output, logits, &err), &err);
}

/* Renders the epoch's steps; returns how many of its mixed views have other logits than the cache has. */
static int count_wrong(struct scene *s, int *mixed, int *unmixed_wrong)
{
    const struct epoch_content *content = &s->trainer.content;
    const uint32_t steps = s->dataset.count / BATCH;
    float *pixels = malloc((size_t)BATCH * PIXELS * 3 * sizeof *pixels);
    void *out = test_device_buffer(&s->t, NULL, (size_t)BATCH * PIXELS * 3 * sizeof *pixels);
    struct error err = {0};
    int wrong = *mixed = *unmixed_wrong = 0;
    test_must(
        epoch_inputs_upload(&s->trainer.inputs, s->t.backend->device, s->t.device, content, s->dataset.count, &err),
        &err);
    const struct epoch_views views = epoch_inputs_views(&s->trainer.inputs);
    for (uint32_t step = 0; step < steps; step++) {
        const size_t first = (size_t)step * BATCH;
        test_device_upload(&s->t, s->trainer.inputs.cursor, &step, sizeof step);
        if (s->t.backend->device->images->prefetch)
            test_must(s->t.backend->device->images->prefetch(s->t.device, s->dataset.images, content->samples + first,
                                                             content->partners + first, BATCH, step, &err),
                      &err);
        test_must(s->t.backend->device->images->render(s->t.device, s->dataset.images, &views, BATCH, SIZE,
                                                       s->dataset.cache_views.table, DTYPE_FP32, out, &err),
                  &err);
        test_device_download(&s->t, pixels, out, (size_t)BATCH * PIXELS * 3 * sizeof *pixels);
        for (size_t i = 0; i < BATCH; i++) {
            const float *stored = content->teacher + (first + i) * CLASSES;
            float logits[CLASSES], largest = 0, scale = 0;
            ask_teacher(s, pixels + i * PIXELS * 3, logits);
            for (int k = 0; k < CLASSES; k++) {
                largest = fmaxf(largest, fabsf(logits[k] - stored[k]));
                scale = fmaxf(scale, fabsf(stored[k]));
            }
            const bool differs = largest > 1e-3f * scale, is_mixed = content->mixes[first + i].kind != VIEW_MIX_NONE;
            *mixed += is_mixed;
            wrong += is_mixed && differs;
            *unmixed_wrong += !is_mixed && differs;
        }
    }
    test_device_free(&s->t, out);
    free(pixels);
    return wrong;
}

/* The reference executor's answer to the pixels that the student gets is what the cache holds, to float16. And where
 * partners are exchanged it is not: the check can see what it is there for. */
static void student_sees_what_the_teacher_saw(void **state)
{
    struct error err = {0};
    struct scene s;
    int mixed, unmixed_wrong;
    open_scene(&s, *state, DATASET_TRAINING);
    for (int epoch = 0; epoch < (test_device_is_shim(*state) ? 1 : 3); epoch++) {
        test_must(trainer_prepare(&s.trainer, &s.dataset, epoch, &err), &err);
        assert_int_equal(count_wrong(&s, &mixed, &unmixed_wrong), 0);
        assert_int_equal(unmixed_wrong, 0);
        assert_in_range(mixed, s.dataset.count - 6, s.dataset.count);
    }
    for (uint32_t i = 0; i < s.dataset.count; i++) {
        struct epoch_content *content = &s.trainer.content;
        const uint32_t other = (content->partners[i] + 1) % s.dataset.count;
        content->partners[i] = other;
        dataset_view(&s.dataset, other, (int)content->numbers[i], &content->partner_views[i]);
    }
    assert_in_range(count_wrong(&s, &mixed, &unmixed_wrong), mixed * 9 / 10, mixed);
    assert_int_equal(unmixed_wrong, 0);
    close_scene(&s);
}

/* Partners, shares and labels belong to (sample, view), wherever the epoch has put them. */
static void order_changes_no_mix(void **state)
{
    struct error err = {0};
    struct scene s;
    struct view_mix first[72][2];
    uint32_t partners[72][2];
    int seen = 0, again = 0;
    (void)state;
    open_scene(&s, "cpu", DATASET_TRAINING);
    assert_int_equal(s.dataset.count, 72);
    memset(partners, 0xff, sizeof partners);
    for (int epoch = 0; epoch < 6; epoch++) {
        const struct epoch_content *content = &s.trainer.content;
        s.options.sequential = epoch == 3;
        s.options.seed += epoch == 4;
        test_must(trainer_prepare(&s.trainer, &s.dataset, epoch, &err), &err);
        for (uint32_t i = 0; i < s.dataset.count; i++) {
            const uint32_t sample = content->samples[i], number = content->numbers[i];
            assert_int_equal(content->partner_labels[i], s.dataset.labels[content->partners[i]]);
            if (partners[sample][number] == UINT32_MAX) {
                partners[sample][number] = content->partners[i];
                first[sample][number] = content->mixes[i];
                seen++;
                continue;
            }
            again++;
            assert_int_equal(content->partners[i], partners[sample][number]);
            assert_memory_equal(&content->mixes[i], &first[sample][number], sizeof content->mixes[i]);
        }
    }
    assert_int_equal(seen, 2 * 72);
    assert_int_equal(again, 4 * 72);
    close_scene(&s);
}

static void evaluation_views_are_not_mixed(void **state)
{
    struct error err = {0};
    struct scene s;
    (void)state;
    open_scene(&s, "cpu", DATASET_EVALUATION);
    assert_true(dataset_mixes(&s.dataset));
    test_must(trainer_prepare_evaluation(&s.trainer, &s.dataset, &err), &err);
    assert_null(s.trainer.evaluation.mixes);
    assert_null(s.trainer.evaluation.partners);
    close_scene(&s);
}

static void fits(void **state)
{
    (void)state;
    const char *options = "--loss '0.3*ce + 0.7*kd(T=4)' --epochs 4 --lr 0.02 --device cpu";
    expect(0, "best of 4 epochs", shell(FIT "%s --out one", program, options));
    expect(0, "", shell(FIT "%s --out two --threads 1", program, options));
    expect(0, "", shell(FIT "%s --out three --threads 3", program, options));
    same_run("one", "two");
    same_run("one", "three");
    expect(0, "24 samples", shell("%s eval --run one --quiet", program));
    expect(0, "best of", shell(FIT "%s --out small --size 20", program, options));
    expect(1, "differ", shell("cmp one/best.safetensors small/best.safetensors"));
    /* the images alone: labels mixed by the same shares */
    expect(0, "complete",
           shell("%s run --data photos --teacher none --out alone --size 32 --base 36 --views 2 --augment light+cutmix",
                 dumper));
    expect(
        0, "best of",
        shell("%s fit --cache alone --student tiny.net --batch 16 --quiet --loss ce --epochs 2 --out bare", program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(student_sees_what_the_teacher_saw),
        cmocka_unit_test(order_changes_no_mix),
        cmocka_unit_test(evaluation_views_are_not_mixed),
        cmocka_unit_test(fits),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, program_teardown);
}
