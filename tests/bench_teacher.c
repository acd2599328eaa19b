/* Logits and speed of a teacher in teacher_dump's engine, for scripts/zoo/teachers.py: reads images as raw floats
 * [count, size, size, c], writes logits as raw floats [count, classes], then runs the same images for some seconds.
 * Prints one line of JSON. */
#define _POSIX_C_SOURCE 200809L
#include "shared/base/files.h"
#include "shared/base/options.h"
#include "teacher_dump/teacher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
    const char *teacher, *input, *output;
    double seconds;
    int engine, size, count, threads;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs the batch again and again in turn through the engine's buffers, until the time is over: images per second. */
static enum status measure(struct teacher *teacher, int in_flight, const struct engine_batch *batch, double seconds,
                           double *speed, struct error *err)
{
    enum status status = STATUS_OK;
    const float *outputs[TEACHER_MAX_OUTPUTS];
    int submitted = 0, collected = 0;
    const double start = now();
    while (now() - start < seconds || submitted > collected) {
        while (submitted < collected + in_flight && now() - start < seconds)
            TRY(teacher_submit(teacher, submitted++ % in_flight, batch, err));
        if (submitted > collected)
            TRY(teacher_collect(teacher, collected++ % in_flight, outputs, err));
    }
    *speed = collected * batch->count / (now() - start);
cleanup:
    return status;
}

static enum status run(const struct settings *s, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher teacher = {0};
    struct teacher_engine engine = {
        .device = "cpu", .threads = s->threads, .batch = s->count, .in_flight = TEACHER_IN_FLIGHT};
    const struct cache_manifest manifest = {0};
    const char *name = s->teacher;
    const struct teacher_request request = {
        .teachers = {&name, 1}, .kind = (enum teacher_engine_kind)s->engine, .size = s->size};
    char text[512];
    unsigned char *input = NULL;
    const float *outputs[TEACHER_MAX_OUTPUTS];
    size_t length;
    double speed = 0;
    FILE *file = NULL;
    TRY(teacher_open(&teacher, &request, err));
    TRY(teacher_choose(&teacher, &engine, err));
    TRY(teacher_start(&teacher, &engine, &manifest, err));
    TRY(file_read(s->input, (size_t)1 << 31, &input, &length, err));
    if (length !=
        sizeof(float) * (size_t)s->count * (size_t)teacher.input.c * (size_t)teacher.input.h * (size_t)teacher.input.w)
        TRY(error_set(err, STATUS_BAD_DATA, s->input, "has %zu bytes, not %d images of %dx%dx%d floats", length,
                      s->count, teacher.input.h, teacher.input.w, teacher.input.c));
    const struct engine_batch batch = {.count = s->count, .input = (const float *)(const void *)input};
    TRY(teacher_submit(&teacher, 0, &batch, err));
    TRY(teacher_collect(&teacher, 0, outputs, err));
    file = fopen(s->output, "wb");
    const size_t values = (size_t)s->count * (size_t)teacher.classes;
    if (!file || fwrite(outputs[0], sizeof(float), values, file) != values)
        TRY(error_set(err, STATUS_IO, s->output, "cannot be written"));
    if (s->seconds > 0)
        TRY(measure(&teacher, engine.in_flight, &batch, s->seconds, &speed, err));
    teacher_describe(&teacher, text, sizeof text);
    const char *described = strstr(text, "; ");
    printf("{\"engine\": \"%s\", \"images_per_second\": %.2f}\n", described ? described + 2 : text, speed);
cleanup:
    if (file)
        fclose(file);
    free(input);
    teacher_release(&teacher);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct settings s = {0};
    const struct option_spec specs[] = {
        {"teacher", OPTION_STRING, &s.teacher, "FILE.onnx", NULL, "the teacher", .required = true},
        {"engine", OPTION_CHOICE, &s.engine, NULL, "auto", "who computes", .choices = teacher_engine_names},
        {"input", OPTION_STRING, &s.input, "FILE", NULL, "images as floats [count, size, size, c]", .required = true},
        {"output", OPTION_STRING, &s.output, "FILE", NULL, "the logits, floats [count, classes]", .required = true},
        {"count", OPTION_INT, &s.count, "N", "8", "images, which are one batch", .minimum = 1, .maximum = 4096},
        {"size", OPTION_INT, &s.size, "N", "224", "side of the images", .minimum = 1, .maximum = 4096},
        {"seconds", OPTION_FLOAT, &s.seconds, "X", "0", "how long to measure", .minimum = 0, .maximum = 1e6},
        {"threads", OPTION_INT, &s.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
    };
    struct options options = {.command = "bench_teacher",
                              .summary = "logits and speed of a teacher",
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
