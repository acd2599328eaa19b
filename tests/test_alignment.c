/* The proof that stage two learns from the views that stage one's teacher saw. The teacher is a checksum: each logit is
 * a projection of 64 of the input's 3,072 numbers, so that one pixel that is one level off moves it by about its
 * rounding to float16. `teacher_dump` dumps its answers; a student of the same weights then sees every view of every
 * sample as the trainer renders it, in the trainer's own order and batches, and each of its logits must be the cached
 * one. For every preset recipe, with other batches and numbers of threads on both sides, on every backend, and with a
 * split of several shards. */
#include "formats/onnx/onnx_write.h"
#include "shared/base/files.h"
#include "student_train/trainer/trainer.h"
#include "tests/helper_device.h"
#include "tests/helper_images.h"
#include "tests/helper_nets.h"
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

enum { SIDE = 32, INPUTS = 3 * SIDE * SIDE, CLASSES = 48, BLOCK = INPUTS / CLASSES };

static void make_teacher(struct graph *graph)
{
    graph_init(graph);
    graph->output = net_linear(graph, net_input(graph, 3, SIDE, SIDE), CLASSES, false);
    assert_int_equal(graph->weight_count, 1);
    assert_int_equal(graph->weights[0].count, INPUTS * CLASSES);
    float *weights = graph->weights[0].data, draws[BLOCK];
    memset(weights, 0, graph->weights[0].count * sizeof *weights);
    for (int k = 0; k < CLASSES; k++) {
        net_fill(draws, BLOCK, (uint64_t)k);
        for (int i = 0; i < BLOCK; i++) /* no number counts for less than another's half */
            weights[k * INPUTS + k * BLOCK + i] = draws[i] < 0 ? draws[i] / 2 - 0.5f : draws[i] / 2 + 0.5f;
    }
}

static int setup(void **state)
{
    struct graph graph;
    uint8_t *bytes;
    size_t size;
    if (program_setup(state) != 0)
        return -1;
    char *photos = path_join(folder, "sums"), *many = path_join(folder, "many");
    write_image_folder(photos, "train", CLASSES, 1, 44, 40);
    write_image_folder(photos, "val", CLASSES, 1, 40, 44);
    write_image_folder(many, "train", CLASSES, 45, 10, 12);
    write_image_folder(many, "val", CLASSES, 1, 10, 12);
    make_teacher(&graph);
    assert_int_equal(onnx_write(&graph, &bytes, &size, NULL), STATUS_OK);
    write_file(folder, "sums.onnx", bytes, size);
    graph_release(&graph);
    free(bytes);
    free(photos);
    free(many);
    return 0;
}

static const char *dump(const char *data, const char *recipe, int views, int batch, int threads)
{
    static char name[64];
    snprintf(name, sizeof name, "cache-%s-%s-%d-%d", data, recipe, batch, threads);
    expect(0, "",
           shell("[ -e '%s/cache.json' ] || %s run --data %s --teacher sums.onnx --out '%s' --size 32 --base 36 --mean "
                 "0.5,0.5,0.5 --std 0.5,0.5,0.5 --views %d --augment %s --batch %d --threads %d --device cpu "
                 "--teacher-check off --quiet",
                 name, dumper, data, name, views, recipe, batch, threads));
    return name;
}

/* The first step's slots of the inputs are compared with the student's logits. Returns the largest difference, in units
 * of what float16 may round away. */
static double compare(const struct test_device *t, const struct trainer *trainer, const float *teacher, int count)
{
    const size_t size = (size_t)count * CLASSES;
    float *student = malloc(size * sizeof *student);
    double worst = 0;
    assert_non_null(student);
    test_device_download(t, student, network_logits(&trainer->network), size * sizeof *student);
    for (size_t i = 0; i < size; i++) {
        const double allowed = fabs((double)teacher[i]) / 2048 + 2e-5;
        worst = fmax(worst, fabs((double)student[i] - (double)teacher[i]) / allowed);
    }
    free(student);
    return worst;
}

/* Steps through epochs until every view of every sample has come. */
static double see_every_view(const struct test_device *t, struct trainer *trainer, const struct dataset *dataset)
{
    const uint32_t batch = (uint32_t)trainer->options->batch, n = dataset->count;
    unsigned char *seen = calloc(n * (size_t)dataset->views, 1);
    const struct pixel_source source = {dataset->images, SIDE, (float(*)[256])(uintptr_t)dataset->cache_views.table,
                                        dataset->features};
    size_t missing = n * (size_t)dataset->views;
    double worst = 0;
    struct error err = {0};
    for (int epoch = 0; missing > 0; epoch++) {
        assert_true(epoch < 4 * dataset->views);
        test_must(trainer_prepare(trainer, dataset, epoch, &err), &err);
        test_must(epoch_inputs_upload(&trainer->inputs, t->backend->device, t->device, &trainer->content, n, &err),
                  &err);
        for (uint32_t step = 0, first = 0; first < n; step++, first += batch) {
            const int count = (int)(n - first < batch ? n - first : batch);
            const uint32_t *partners = trainer->content.partners;
            test_must(trainer_step(trainer, &source, &trainer->inputs, trainer->order + first,
                                   partners ? partners + first : NULL, step, count, true, &err),
                      &err);
            worst = fmax(worst, compare(t, trainer, trainer->content.teacher + (size_t)first * CLASSES, count));
            for (int i = 0; i < count; i++) {
                unsigned char *one = &seen[trainer->content.samples[first + (uint32_t)i] * (size_t)dataset->views +
                                           trainer->content.numbers[first + (uint32_t)i]];
                missing -= !*one;
                *one = 1;
            }
        }
    }
    free(seen);
    return worst;
}

static void check(const char *backend, const char *name, int batch, int threads)
{
    struct test_device t = test_device_open(backend, threads);
    struct compute compute = {.backend = t.backend, .device = t.device};
    struct trainer_options training = {.batch = batch, .seed = 3};
    struct loss_expression loss;
    struct progress progress;
    struct dataset dataset;
    struct trainer trainer;
    struct graph graph;
    struct cache cache;
    struct error err = {0};
    char *path = path_join(folder, name);
    progress_init(&progress, stderr, true);
    make_teacher(&graph);
    test_must(thread_pool_new(&compute.pool, threads, &err), &err);
    test_must(cache_open(&cache, path, &err), &err);
    test_must(dataset_load(&dataset, &cache, SPLIT_TRAIN, DATASET_TRAINING, SIDE, &compute, &progress, &err), &err);
    test_must(loss_expression_parse(&loss, "kd", &err), &err);
    const struct trainer_student student = {.loss = &loss, .schedule = {.epochs = 100}}; /* its learning rate is 0 */
    test_must(trainer_init(&trainer, &compute, &graph, &student, 1, &training, &cache.manifest, &err), &err);
    const double worst = see_every_view(&t, &trainer, &dataset);
    if (worst > 1)
        fail_msg("%s: a logit differs by %.2f times what float16 may round away", name, worst);
    print_message("%s, trained in batches of %d: %u samples, %d views, largest difference %.2f roundings\n", name,
                  batch, dataset.count, dataset.views, worst);
    trainer_release(&trainer);
    dataset_release(&dataset);
    cache_release(&cache);
    graph_release(&graph);
    thread_pool_free(compute.pool);
    test_device_close(&t);
    free(path);
}

static void every_recipe(void **state)
{
    static const char *const recipes[] = {"none", "light", "photos", "photos-mix", "food11-strong", "cifar"};
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        const char *name = dump("sums", recipes[i], 3, i % 2 ? 5 : 32, 1 + (int)i % 3);
        check(*state, name, 7, 3);
        if (!test_device_is_shim(*state))
            check(*state, name, 32, 1);
    }
}

/* More samples than a shard may have. */
static void several_shards(void **state)
{
    if (test_device_is_shim(*state))
        skip(); /* minutes, and the host finds the samples */
    const char *name = dump("many", "photos-mix", 1, 32, 2);
    expect(0, "train-00001.h5", shell("ls %s", name));
    check(*state, name, 128, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ON_EVERY_BACKEND(every_recipe), ON_EVERY_BACKEND(several_shards)};
    return cmocka_run_group_tests(tests, setup, program_teardown);
}
