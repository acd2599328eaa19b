/* Speed of a teacher in the engine that `teacher_dump run` takes for it, and its logits for given images.
 *
 * usage: bench_teacher --teacher FILE.onnx [options]; --help lists them
 *
 * Prints a line of JSON: the engine, and images a second and a processor second over inputs that are ready in memory,
 * with as many batches in flight as `run` has. scripts/bench_cpu.py, scripts/bench_teachers.py and
 * scripts/zoo/teachers.py compare it with onnxruntime's own loop. */
#define _POSIX_C_SOURCE 200809L
#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/base/memory.h"
#include "shared/base/options.h"
#include "shared/base/random.h"
#include "teacher_dump/teacher.h"
#include "tests/helper_synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
    const char *teacher, *input, *output;
    double seconds;
    int engine, size, count, threads;
    bool rendered, paced;
};

struct bench {
    struct teacher teacher;
    struct teacher_engine engine;
    struct engine_batch inputs; /* floats */
    struct engine_batch views;  /* to be rendered: count is 0 without --rendered */
    unsigned char *memory;      /* of inputs */
    struct image base, levels[VIEW_MAX_LEVELS];
    int level_count;
    float table[3][256];
    struct view *made;             /* [batch] */
    const struct image **pictures; /* [batch] */
    int *level_counts;             /* [batch] */
};

static void bench_release(struct bench *bench)
{
    teacher_release(&bench->teacher);
    free(bench->memory);
    view_pyramid_release(bench->levels, bench->level_count);
    image_release(&bench->base);
    free(bench->made);
    free(bench->pictures);
    free(bench->level_counts);
}

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs the batch again and again through the engine's buffers, in turn, until the time is over. */
static enum status measure(struct bench *bench, const struct engine_batch *batch, double seconds, double *speed,
                           double *processor, struct error *err)
{
    enum status status = STATUS_OK;
    const int in_flight = bench->engine.in_flight;
    const float *outputs[TEACHER_MAX_OUTPUTS];
    int submitted = 0, collected = 0;
    const double start = clock_seconds(), processor_start = processor_seconds();
    while (clock_seconds() - start < seconds || submitted > collected) {
        while (submitted < collected + in_flight && clock_seconds() - start < seconds)
            TRY(teacher_submit(&bench->teacher, submitted++ % in_flight, batch, err));
        if (submitted > collected)
            TRY(teacher_collect(&bench->teacher, collected++ % in_flight, outputs, err));
    }
    *speed = collected * batch->count / (clock_seconds() - start);
    *processor = collected * batch->count / (processor_seconds() - processor_start);
cleanup:
    return status;
}

/* The images of --input, or random ones. */
static enum status make_inputs(struct bench *bench, const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape in = bench->teacher.input;
    const int count = bench->engine.batch;
    const size_t values = (size_t)count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    struct random_stream random;
    size_t length;
    if (s->input) {
        TRY(file_read(s->input, (size_t)1 << 31, &bench->memory, &length, err));
        if (length != values * sizeof(float))
            FAIL(error_set(err, STATUS_BAD_DATA, s->input, "has %zu bytes, not %d images of %dx%dx%d floats", length,
                           count, in.h, in.w, in.c));
    } else {
        bench->memory = malloc(values * sizeof(float));
        if (!bench->memory)
            FAIL(error_no_memory(err, values * sizeof(float), "the images"));
        random_stream_init(&random, 1, RANDOM_INIT, 0, 0);
        for (size_t i = 0; i < values; i++)
            ((float *)(void *)bench->memory)[i] = 2 * random_uniform(&random) - 1;
    }
    bench->inputs = (struct engine_batch){.count = count, .input = (const float *)(const void *)bench->memory};
cleanup:
    return status;
}

/* Views of one photo, each with its own crop, turn and colours. */
static enum status make_views(struct bench *bench, struct error *err)
{
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.5f, 0.5f, 0.5f};
    enum status status = STATUS_OK;
    const int count = bench->engine.batch, size = bench->teacher.input.h;
    struct recipe recipe;
    bench->made = calloc((size_t)count, sizeof *bench->made);
    bench->pictures = calloc((size_t)count, sizeof *bench->pictures);
    bench->level_counts = calloc((size_t)count, sizeof *bench->level_counts);
    if (!bench->made || !bench->pictures || !bench->level_counts)
        FAIL(error_no_memory(err, (size_t)count * sizeof *bench->made, "views"));
    TRY(image_init(&bench->base, 256, 340, 3, err));
    synthetic_paint(&bench->base, 3, 10, 1, 1);
    TRY(recipe_parse(&recipe, "food11-strong", err));
    TRY(view_pyramid(&bench->base, bench->levels, &bench->level_count, err));
    view_normalisation_table(bench->table, mean, std, 3);
    for (int i = 0; i < count; i++) {
        view_make(&bench->made[i], &recipe, 1, (uint32_t)i, 0, bench->base.h, bench->base.w, size, size);
        bench->pictures[i] = bench->levels;
        bench->level_counts[i] = bench->level_count;
    }
    bench->views = (struct engine_batch){.count = count,
                                         .views = bench->made,
                                         .levels = bench->pictures,
                                         .level_counts = bench->level_counts,
                                         .table = bench->table};
cleanup:
    return status;
}

static enum status bench_init(struct bench *bench, const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_manifest manifest = {0};
    const char *name = s->teacher;
    const struct teacher_request request = {
        .teachers = {.items = &name, .count = 1}, .kind = (enum teacher_engine_kind)s->engine, .size = s->size};
    bench->engine = (struct teacher_engine){
        .device = "cpu", .threads = s->threads, .batch = s->count, .in_flight = TEACHER_IN_FLIGHT};
    TRY(teacher_open(&bench->teacher, &request, err));
    TRY(teacher_choose(&bench->teacher, &bench->engine, err));
    TRY(teacher_start(&bench->teacher, &bench->engine, &manifest, err));
    TRY(make_inputs(bench, s, err));
    if (s->rendered && bench->teacher.input.c != 3)
        FAIL(error_set(err, STATUS_USAGE, s->teacher, "takes images of %d channels: --rendered needs 3",
                       bench->teacher.input.c));
    if (s->rendered)
        TRY(make_views(bench, err));
cleanup:
    return status;
}

/* One batch, so that the engine is warm; its logits go to --output. */
static enum status first_batch(struct bench *bench, const char *output, struct error *err)
{
    enum status status = STATUS_OK;
    const float *outputs[TEACHER_MAX_OUTPUTS];
    const size_t values = (size_t)bench->engine.batch * (size_t)bench->teacher.classes;
    FILE *file = NULL;
    TRY(teacher_submit(&bench->teacher, 0, &bench->inputs, err));
    TRY(teacher_collect(&bench->teacher, 0, outputs, err));
    if (output) {
        file = fopen(output, "wb");
        if (!file || fwrite(outputs[0], sizeof(float), values, file) != values)
            FAIL(error_set(err, STATUS_IO, output, "cannot be written"));
    }
cleanup:
    if (file && fclose(file) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_IO, output, "cannot be written");
    return status;
}

static enum status print_round(struct bench *bench, const struct settings *s, const char *engine, struct error *err)
{
    enum status status = STATUS_OK;
    double inputs = 0, views = 0, processor = 0, views_processor = 0;
    if (s->seconds > 0)
        TRY(measure(bench, &bench->inputs, s->seconds, &inputs, &processor, err));
    if (s->seconds > 0 && s->rendered)
        TRY(measure(bench, &bench->views, s->seconds, &views, &views_processor, err));
    printf("{\"engine\": \"%s\", \"images_per_second\": %.2f, \"images_per_processor_second\": %.2f", engine, inputs,
           processor);
    if (s->rendered)
        printf(", \"rendered_per_second\": %.2f", views);
    printf("}\n");
    fflush(stdout);
cleanup:
    return status;
}

static enum status run(const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    struct bench bench = {0};
    char text[512];
    TRY(bench_init(&bench, s, err));
    TRY(first_batch(&bench, s->output, err));
    teacher_describe(&bench.teacher, text, sizeof text);
    const char *described = strstr(text, "; ");
    const char *engine = described ? described + 2 : text;
    if (!s->paced)
        TRY(print_round(&bench, s, engine, err));
    else
        for (int c; (c = getchar()) != EOF;)
            if (c == '\n')
                TRY(print_round(&bench, s, engine, err));
cleanup:
    bench_release(&bench);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct settings s = {0};
    const struct option_spec specs[] = {
        {"teacher", OPTION_STRING, &s.teacher, "FILE.onnx", NULL, "the teacher", .required = true},
        {"engine", OPTION_CHOICE, &s.engine, NULL, "auto", "who computes", .choices = teacher_engine_names},
        {"input", OPTION_STRING, &s.input, "FILE", NULL,
         "images as floats [count, size, size, c]; default: random ones"},
        {"output", OPTION_STRING, &s.output, "FILE", NULL, "their logits, floats [count, classes]"},
        {"count", OPTION_INT, &s.count, "N", "0", "images of a batch; 0: as `run` takes them", .maximum = 4096},
        {"size", OPTION_INT, &s.size, "N", "224", "side of the images", .minimum = 1, .maximum = 4096},
        {"seconds", OPTION_FLOAT, &s.seconds, "X", "0", "how long to measure", .minimum = 0, .maximum = 1e6},
        {"rendered", OPTION_FLAG, &s.rendered, NULL, NULL, "measure with views that are rendered from a photo, too"},
        {"paced", OPTION_FLAG, &s.paced, NULL, NULL, "measure once for every line of the standard input"},
        {"threads", OPTION_INT, &s.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
    };
    struct options options = {.command = "bench_teacher",
                              .summary = "speed and logits of a teacher",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    enum status status = options_parse(&options, argc, argv, &err);
    if (status == STATUS_OK && options.help)
        options_print_help(&options, stdout);
    else if (status == STATUS_OK)
        status = run(&s, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bench_teacher: %s%s%s\n", err.path[0] ? err.path : "", err.path[0] ? ": " : "", err.message);
    options_release(&options);
    return status;
}
