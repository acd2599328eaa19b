/* Images per second of any teacher on the CPU, through the engine that `teacher_dump run` would take.
 * usage: bench_engine FILE.onnx [SECONDS] [THREADS] [auto|native|onnxruntime]
 * Prints "engine: X images/s" for inputs that are ready in memory, and "rendered: X images/s" for views that are
 * rendered from photos, as `run` does it. scripts/bench_onnxruntime.py compares the first with a bare loop. */
#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "teacher_dump/teacher.h"
#include "tests/helper_synthetic.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32 };

/* Runs batches for about so many seconds, after one that warms up. */
static enum status measure(struct teacher *teacher, const struct engine_batch *batch, double seconds, double *rate,
                           struct error *err)
{
    enum status status = STATUS_OK;
    const float *outputs[TEACHER_MAX_OUTPUTS];
    double start = 0, spent = 0;
    int runs = 0;
    for (int i = 0; spent < seconds; i++) {
        TRY(teacher_submit(teacher, 0, batch, err));
        TRY(teacher_collect(teacher, 0, outputs, err));
        if (i == 0)
            start = clock_seconds();
        else
            runs++;
        spent = runs ? clock_seconds() - start : 0;
    }
    *rate = runs * batch->count / spent;
cleanup:
    return status;
}

static enum status measure_inputs(struct teacher *teacher, double seconds, double *rate, struct error *err)
{
    const struct shape in = teacher->input;
    const size_t count = (size_t)BATCH * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    struct random_stream random;
    float *input = malloc(count * sizeof *input);
    if (!input)
        return error_no_memory(err, count, "the benchmark");
    random_stream_init(&random, 1, RANDOM_INIT, 0, 0);
    for (size_t i = 0; i < count; i++)
        input[i] = 2 * random_uniform(&random) - 1;
    const struct engine_batch batch = {.count = BATCH, .input = input};
    const enum status status = measure(teacher, &batch, seconds, rate, err);
    free(input);
    return status;
}

static enum status measure_views(struct teacher *teacher, double seconds, double *rate, struct error *err)
{
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.5f, 0.5f, 0.5f};
    enum status status = STATUS_OK;
    struct image base, levels[VIEW_MAX_LEVELS] = {0};
    struct view views[BATCH];
    const struct image *pictures[BATCH];
    int level_counts[BATCH], level_count = 0;
    float table[3][256];
    struct recipe recipe;
    TRY(image_init(&base, 256, 340, 3, err));
    synthetic_paint(&base, 3, 10, 1, 1);
    TRY(recipe_parse(&recipe, "food11-strong", err));
    TRY(view_pyramid(&base, levels, &level_count, err));
    view_normalisation_table(table, mean, std, 3);
    for (int i = 0; i < BATCH; i++) {
        const int size = teacher->input.h;
        view_make(&views[i], &recipe, 1, (uint32_t)i, 0, base.h, base.w, size, size);
        pictures[i] = levels;
        level_counts[i] = level_count;
    }
    const struct engine_batch batch = {
        .count = BATCH, .views = views, .levels = pictures, .level_counts = level_counts, .table = table};
    TRY(measure(teacher, &batch, seconds, rate, err));
cleanup:
    view_pyramid_release(levels, level_count);
    image_release(&base);
    return status;
}

static int engine_kind(const char *name)
{
    for (int i = 0; teacher_engine_names[i]; i++)
        if (strcmp(name, teacher_engine_names[i]) == 0)
            return i;
    return TEACHER_ENGINE_AUTO;
}

static enum status bench(const char *path, double seconds, int threads, const char *kind, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher teacher = {0};
    struct cache_manifest manifest = {0};
    const struct teacher_request request = {
        .teachers = {.items = &path, .count = 1}, .kind = (enum teacher_engine_kind)engine_kind(kind), .size = 224};
    struct teacher_engine engine = {.device = "cpu", .threads = threads, .batch = BATCH, .in_flight = 1};
    double inputs = 0, views = 0;
    char text[512];
    TRY(teacher_open(&teacher, &request, err));
    TRY(teacher_choose(&teacher, &engine, err));
    TRY(teacher_start(&teacher, &engine, &manifest, err));
    TRY(measure_inputs(&teacher, seconds, &inputs, err));
    if (teacher.input.c == 3)
        TRY(measure_views(&teacher, seconds, &views, err));
    teacher_describe(&teacher, text, sizeof text);
    printf("%s (%s)\nengine: %.2f images/s\nrendered: %.2f images/s\n", path, text, inputs, views);
cleanup:
    teacher_release(&teacher);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 2) {
        printf("bench_engine skipped: it measures the teacher that is named, FILE.onnx [SECONDS] [THREADS] [ENGINE]\n");
        return 0;
    }
    const enum status status =
        bench(argv[1], argc > 2 ? atof(argv[2]) : 5, argc > 3 ? atoi(argv[3]) : 0, argc > 4 ? argv[4] : "auto", &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bench_engine: %s: %s\n", err.path, err.message);
    return (int)status;
}
