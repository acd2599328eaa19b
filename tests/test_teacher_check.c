/* The check before the hours (teacher_dump/teacher_check.h), from the outside: photos of one colour a class,
 * teachers that know these colours and make one mistake each, and the sentence that each mistake must get. Then its
 * statistics. */
#define _GNU_SOURCE
#include "formats/cache/cache.h"
#include "formats/datasets/class_order.h"
#include "shared/base/files.h"
#include "teacher_dump/check_statistics.h"
#include "teacher_dump/teacher_check.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_model.h"
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

enum { CLASSES = 10, SIDE = 24 };

/* The mean colours of the classes 1, 2, ..., 10, from 0 to 1. */
static const double colors[CLASSES][3] = {{0.2, 0.2, 0.8}, {0.2, 0.8, 0.2},   {0.8, 0.2, 0.2}, {0.8, 0.8, 0.2},
                                          {0.8, 0.2, 0.8}, {0.2, 0.8, 0.8},   {0.5, 0.5, 0.5}, {0.2, 0.2, 0.2},
                                          {0.8, 0.8, 0.8}, {0.65, 0.65, 0.65}};
static const int in_order[CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

/* ---- photos ---- */

static uint8_t channel(double value, uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    const double noise = (double)(*state >> 16) / 65536 - 0.5;
    const double shown = 255 * value + 40 * noise;
    return (uint8_t)(shown < 0 ? 0 : shown > 255 ? 255 : shown);
}

/* A BMP of SIDE x SIDE pixels, whose rows need no padding. */
static void write_bmp(const char *name, const double color[3], uint32_t seed)
{
    enum { HEADER = 54, BYTES = HEADER + SIDE * SIDE * 3 };
    uint8_t file[BYTES] = {'B', 'M', BYTES & 255, BYTES >> 8, 0, 0, 0, 0,    0, 0, HEADER, 0, 0, 0, 40,
                           0,   0,   0,           SIDE,       0, 0, 0, SIDE, 0, 0, 0,      1, 0, 24};
    uint32_t state = seed * 2654435761u + 1;
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++)
            file[HEADER + 3 * i + c] = channel(color[2 - c], &state); /* blue first */
    write_file(folder, name, file, sizeof file);
}

/* name/train/1/0.bmp, ..., name/val/10/...; colours of the classes are theirs in `order`. */
static void write_photos(const char *name, int train, int val)
{
    char path[128];
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < CLASSES; k++)
            for (int i = 0; i < (s ? val : train); i++) {
                snprintf(path, sizeof path, "%s/%s/%d/%d.bmp", name, s ? "val" : "train", k + 1, i);
                write_bmp(path, colors[k], (uint32_t)(1000 * s + 100 * k + i));
            }
}

/* ---- teachers ---- */

/* Takes (pixel - 0.5) / 0.5. */
struct kind {
    int outputs;      /* at least CLASSES */
    const int *order; /* [CLASSES] output order[k] is of class k + 1 */
    bool bgr, guesses;
    const char *tail; /* an operator behind the logits, "Softmax" or "Sigmoid"; NULL: none */
    bool hidden;      /* and a product behind that */
    double sharp;     /* of its scores; 0: 20, which is sure */
};

/* Scores of nearest mean colours: 2 m . x - m . m, for a pixel of 0.5 n + 0.5. */
static void weigh(const struct kind *kind, float *weights, float *biases)
{
    const double sharp = kind->sharp > 0 ? kind->sharp : 20;
    for (int o = 0; o < kind->outputs; o++)
        biases[o] = -30;
    for (int k = 0; k < CLASSES; k++) {
        const int o = kind->order[k];
        double bias = 0;
        for (int c = 0; c < 3; c++) {
            const double m = kind->guesses ? 0.5 : colors[k][c];
            weights[(kind->bgr ? 2 - c : c) * kind->outputs + o] = (float)(sharp * m);
            bias += m - m * m;
        }
        biases[o] = (float)(sharp * bias);
    }
}

static void write_teacher(const char *name, struct kind kind)
{
    const int64_t input[4] = {0, 3, SIDE, SIDE}, result[2] = {0, kind.outputs}, weight[2] = {3, kind.outputs},
                  bias[1] = {kind.outputs}, one[1] = {1};
    const float factor = 0.999f;
    float weights[3 * 64] = {0}, biases[64] = {0};
    struct proto graph = {0}, model = {0};
    assert_true(kind.outputs <= 64);
    weigh(&kind, weights, biases);
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, input, 4);
    model_put_node(&graph, "GlobalAveragePool", "x", "mean");
    model_put_node(&graph, "Flatten", "mean", "flat");
    model_put_node(&graph, "Gemm", "flat w b", "scores");
    if (kind.tail)
        model_put_node(&graph, kind.tail, "scores", "tail");
    if (kind.hidden)
        model_put_node(&graph, "Mul", "tail factor", "product");
    model_put_tensor(&graph, "w", ONNX_FLOAT, weight, 2, weights, (size_t)(3 * kind.outputs) * sizeof *weights);
    model_put_tensor(&graph, "b", ONNX_FLOAT, bias, 1, biases, (size_t)kind.outputs * sizeof *biases);
    if (kind.hidden)
        model_put_tensor(&graph, "factor", ONNX_FLOAT, one, 1, &factor, sizeof factor);
    model_put_value(&graph, GRAPH_OUTPUT,
                    kind.hidden ? "product"
                    : kind.tail ? "tail"
                                : "scores",
                    ONNX_FLOAT, result, 2);
    model_make(&model, &graph, 13);
    write_file(folder, name, model.bytes, model.size);
    proto_release(&model);
}

/* ---- running ---- */

static const char half[] = "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --classes natural";

static int set_up(void **state)
{
    (void)state;
    char cwd[2048];
    const char *build = getenv("BUILD") ? getenv("BUILD") : "build";
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(dumper, sizeof dumper, "%s%s%s/teacher_dump", build[0] == '/' ? "" : cwd, build[0] == '/' ? "" : "/",
             build);
    folder = temporary_folder();
    write_photos("photos", 6, 5);
    write_teacher("good.onnx", (struct kind){CLASSES, in_order});
    return 0;
}

/* Runs a teacher on the photos; the cache is `out`. */
static int run(const char *teacher, const char *options)
{
    return shell("rm -rf out; %s run --data photos --teacher %s --out out --size 24 --base 24 --views 2 --augment "
                 "'hflip(p=0.5)' %s",
                 dumper, teacher, options);
}

static struct cache open_cache(void)
{
    struct cache cache;
    char path[4200];
    snprintf(path, sizeof path, "%s/out", folder);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    return cache;
}

/* ---- nothing is found ---- */

static void a_good_teacher_goes_on(void **state)
{
    (void)state;
    expect(0, "check: the teacher is right on 50 of 50 photos (100.0 %) and 60 of 60 training photos (100.0 %)",
           run("good.onnx", half));
    struct cache cache = open_cache();
    assert_int_equal(cache.manifest.check.photos, 50);
    assert_int_equal(cache.manifest.check.right, 50);
    assert_int_equal(cache.manifest.check.train_right, 60);
    assert_string_equal(cache.manifest.check.finding, "");
    assert_string_equal(cache.manifest.classes[9], "10");
    cache_release(&cache);
    expect(0, "check    right on 50 of 50 plain photos and 60 of 60 plain training photos before the run\n",
           shell("%s inspect out", dumper));
    expect(0, "\"check\":{\"photos\":50,\"right\":50,\"train_photos\":60,\"train_right\":60}",
           shell("%s inspect out --json | tr -d ' \t\n'", dumper));
}

/* The check changes no byte of the shards, and a cache that was begun is not checked again. */
static void it_leaves_the_shards_and_is_done_once(void **state)
{
    (void)state;
    char options[200];
    expect(0, "complete", run("good.onnx", half));
    expect(0, "", shell("mv out checked"));
    snprintf(options, sizeof options, "%s --teacher-check off", half);
    expect(0, "complete", run("good.onnx", options));
    same_file("checked", "out", "train-00000.h5");
    same_file("checked", "out", "val-00000.h5");
    expect(1, "",
           shell("%s run --data photos --teacher good.onnx --out checked --size 24 --base 24 --views 2 --augment "
                 "'hflip(p=0.5)' %s 2>&1 | grep check:",
                 dumper, half));
    expect(0, "complete, every shard verified",
           shell("%s run --data photos --teacher good.onnx --out checked --size 24 --base 24 --views 2 --augment "
                 "'hflip(p=0.5)' %s --teacher-check off",
                 dumper, half));
    expect(78, "preprocessing.resize is absent there and \"squash\" here",
           shell("%s run --data photos --teacher good.onnx --out checked --size 24 --base 24 --views 2 --augment "
                 "'hflip(p=0.5)' %s --resize squash",
                 dumper, half));
    /* files that came into the folder later are no reason to refuse */
    expect(0, "complete, every shard verified",
           shell("echo x >photos/notes.txt; %s run --data photos --teacher good.onnx --out checked --size 24 --base 24 "
                 "--views 2 --augment 'hflip(p=0.5)' %s; code=$?; rm -rf checked photos/notes.txt; exit $code",
                 dumper, half));
}

static void few_photos_tell_nothing(void **state)
{
    (void)state;
    write_photos("few", 1, 1);
    write_teacher("guess.onnx", (struct kind){CLASSES, in_order, .guesses = true});
    expect(0, "complete",
           shell("%s run --data few --teacher guess.onnx --out few-out --size 24 --base 24 --views 1", dumper));
}

/* ---- what is found ---- */

static void the_order_of_the_classes(void **state)
{
    (void)state;
    static const int mixed[CLASSES] = {3, 0, 1, 2, 5, 4, 7, 6, 9, 8};
    static const char as_is[] = "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5";
    expect(78,
           "good.onnx: is right on 11 of 110 labelled photos, but on 110 if its classes stand in natural order "
           "(1, 2, 3, 4, 5, 6, 7, 8, 9, 10): give --classes natural",
           run("good.onnx", as_is));
    expect(1, "", shell("test -e out"));
    write_teacher("mixed.onnx", (struct kind){CLASSES, mixed});
    expect(78, "but on 110 if its classes stand in another order (2, 3, 4, 1, 6, 5, 8, 7, 10, 9): give --classes FILE",
           run("mixed.onnx", as_is));
    /* what is printed on stdout is that file */
    expect(78, "",
           shell("%s run --data photos --teacher mixed.onnx --out out --size 24 --base 24 %s --quiet "
                 ">order.txt 2>/dev/null",
                 dumper, as_is));
    expect(0, "right on 50 of 50 photos",
           run("mixed.onnx", "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --classes order.txt"));
    expect(78, "order.txt: has 9 of the data set's 10 classes: '9' is missing",
           shell("sed -i '$d' order.txt; %s run --data photos --teacher mixed.onnx --out out --classes order.txt",
                 dumper));
    expect(78, "order.txt: line 10: the data set has no class 'nine'",
           shell("echo nine >>order.txt; %s run --data photos --teacher mixed.onnx --out out --classes order.txt",
                 dumper));
    expect(
        78, "order.txt: line 2: '2' is there twice",
        shell("printf '2\\n2\\n' >order.txt; %s run --data photos --teacher mixed.onnx --out out --classes order.txt",
              dumper));
}

static void probabilities(void **state)
{
    (void)state;
    write_teacher("softmax.onnx", (struct kind){CLASSES, in_order, .tail = "Softmax", .hidden = true});
    write_teacher("sigmoid.onnx", (struct kind){CLASSES, in_order, .tail = "Sigmoid", .hidden = true, .sharp = 3});
    write_teacher("plain.onnx", (struct kind){CLASSES, in_order, .tail = "Softmax"});
    expect(78,
           "those of a photo add up to 1), but distillation with a temperature needs logits: export the model without "
           "its last softmax, or take the logarithm of what it gives with --from probabilities",
           run("softmax.onnx", half));
    expect(78, "every value lies between 0 and 1), but distillation", run("sigmoid.onnx", half));
    expect(78, "with --from probabilities", run("plain.onnx", half));
    char options[200];
    snprintf(options, sizeof options, "%s --from probabilities", half);
    static const char *const teachers[] = {"softmax.onnx", "sigmoid.onnx", "plain.onnx"};
    for (int i = 0; i < 3; i++) {
        expect(0, "right on 50 of 50 photos", run(teachers[i], options));
        expect(0, "(made on cpu in fp32", shell("%s recheck out --teacher %s -n 16", dumper, teachers[i]));
        expect(0, "the logits are the logarithms of its outputs", shell("%s inspect out", dumper));
    }
    /* of a softmax, the logits come back but for a constant */
    struct cache cache = open_cache();
    struct cache_shard shard;
    float logits[CLASSES];
    double sum = 0;
    assert_int_equal(cache_read_shard(&cache, SPLIT_VAL, 0, 0, &shard, NULL), STATUS_OK);
    cache_logits(&cache.manifest, &shard, 0, 0, logits);
    for (int k = 0; k < CLASSES; k++)
        sum += exp((double)logits[k]);
    assert_true(fabs(sum - 1) < 1e-3);
    cache_shard_release(&shard);
    cache_release(&cache);
    expect(65, "which is no probability: leave out --from probabilities", run("good.onnx", options));
}

static void normalisations(void **state)
{
    (void)state;
    static const char *const wrong[] = {"--mean 0,0,0 --std 1,1,1",
                                        "--mean 0,0,0 --std 0.00392157,0.00392157,0.00392157"};
    char options[256];
    for (int i = 0; i < 2; i++) {
        snprintf(options, sizeof options, "--classes natural %s", wrong[i]);
        expect(78, "with pixels from -1 to 1: give --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5", run("good.onnx", options));
    }
    write_teacher("bgr.onnx", (struct kind){CLASSES, in_order, .bgr = true});
    expect(78, "with the channels in another order: give --channels bgr", run("bgr.onnx", half));
    expect(78, "give --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --channels bgr",
           run("bgr.onnx", "--mean 0,0,0 --std 1,1,1 --classes natural"));
    snprintf(options, sizeof options, "%s --channels bgr", half);
    expect(0, "right on 50 of 50 photos", run("bgr.onnx", options));
    expect(0, "(made on cpu in fp32", shell("%s recheck out --teacher bgr.onnx -n 16", dumper));
    expect(0, "it takes the channels in the order blue, green, red", shell("%s inspect out", dumper));
    expect(78, "give --channels rgb", run("good.onnx", options));
    /* two mistakes at once */
    expect(78,
           "with its classes in natural order and pixels from -1 to 1: give --classes natural --mean 0.5,0.5,0.5 --std "
           "0.5,0.5,0.5",
           run("good.onnx", "--mean 0,0,0 --std 0.00392157,0.00392157,0.00392157"));
}

static void pixels_up_to_255(void **state)
{
    (void)state;
    expect(64, "write --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
           run("good.onnx", "--mean 123.675,116.28,103.53 --std 58.395,57.12,57.375"));
    expect(64, "write --mean 0.5,0.5,0.5 --std 0.00392157,0.00392157,0.00392157",
           run("good.onnx", "--mean 127.5,127.5,127.5 --std 1,1,1"));
    expect(64, "write --std 0.5,0.5,0.5", run("good.onnx", "--std 127.5,127.5,127.5"));
    expect(64, "write --mean 0.5,0.5,0.5 (", run("good.onnx", "--mean 127.5,127.5,127.5"));
    expect(0, "WARNING: mean and std seem to be of pixels from 0 to 255",
           run("good.onnx", "--mean 127.5,127.5,127.5 --std 127.5,127.5,127.5 --teacher-check warn"));
}

static void guessing(void **state)
{
    (void)state;
    char options[200];
    write_teacher("guess.onnx", (struct kind){CLASSES, in_order, .guesses = true});
    expect(78, "guess.onnx: is right on 11 of 110 labelled photos (10.0 %), no better than guessing (10.0 %)",
           run("guess.onnx", half));
    expect(78, "no better than guessing",
           shell("%s run --data photos --teacher guess.onnx --out out --dry-run", dumper));
    snprintf(options, sizeof options, "%s --teacher-check warn", half);
    expect(0, "WARNING: the teacher is right on 11 of 110", run("guess.onnx", options));
    struct cache cache = open_cache();
    assert_string_equal(cache.manifest.check.finding, "chance");
    cache_release(&cache);
    expect(0, "before the run; it warned: chance", shell("%s inspect out", dumper));
}

/* ---- choosing outputs ---- */

static void outputs_of_a_larger_teacher(void **state)
{
    (void)state;
    static const int spread[CLASSES] = {19, 17, 15, 13, 11, 9, 7, 5, 3, 1};
    char options[256];
    write_teacher("twenty.onnx", (struct kind){20, spread});
    expect(78,
           "has 20 logits, but the data set photos has 10 classes: name the outputs that are these classes, in their "
           "order (1, 2...), with --logits",
           run("twenty.onnx", half));
    snprintf(options, sizeof options, "%s --logits 19,17,15,13,11,9,7,5,3,1 --feature flat", half);
    expect(0, "right on 50 of 50 photos", run("twenty.onnx", options));
    expect(0, "the classes are 10 of its outputs: 19, 17, ...", shell("%s inspect out", dumper));
    expect(0, "16 identical bit for bit", shell("%s recheck out --teacher twenty.onnx -n 16", dumper));
    expect(78, "teacher.logits[0] is 19 there and 17 here",
           shell("%s run --data photos --teacher twenty.onnx --out out --size 24 --base 24 --views 2 --augment "
                 "'hflip(p=0.5)' %s --logits 17,19,15,13,11,9,7,5,3,1 --feature flat",
                 dumper, half));
    expect(0, "", shell("printf '19\\n17\\n15\\n13\\n11\\n9\\n7\\n5\\n3\\n1\\n' >logits.txt"));
    snprintf(options, sizeof options, "%s --logits logits.txt --teacher twenty.onnx --teacher-tta hflip", half);
    expect(0, "right on 50 of 50 photos", run("twenty.onnx", options));
    expect(0, "(made on cpu in fp32",
           shell("%s recheck out --teacher twenty.onnx --teacher twenty.onnx -n 16", dumper));
    expect(78, "--logits has 2 numbers, but the data set has 10 classes", run("twenty.onnx", "--logits 1,2"));
    expect(78, "--logits has 3 twice", run("twenty.onnx", "--logits 0,1,2,3,4,5,6,7,3,9"));
    expect(78, "--logits 20: it has 20 outputs, numbered from 0", run("twenty.onnx", "--logits 0,1,2,3,4,5,6,7,8,20"));
    expect(64, "'cat' is no number of an output",
           shell("printf cat >words; %s run --data photos --teacher twenty.onnx --out out --logits words", dumper));
    expect(66, "nowhere.txt", run("twenty.onnx", "--logits nowhere.txt"));
}

/* ---- how good the teaching is ---- */

static void teaching_of_a_cache(void **state)
{
    (void)state;
    expect(0, "standard deviation of the mean probability 0.27", run("good.onnx", half));
    /* recomputed from the logits */
    struct cache cache = open_cache();
    struct cache_shard shard;
    struct cache_teaching teaching;
    double probabilities[CLASSES], squares = 0, entropy = 0;
    float logits[CLASSES];
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, 0, &shard, NULL), STATUS_OK);
    for (uint32_t i = 0; i < shard.count; i++) {
        double means[CLASSES] = {0};
        for (int v = 0; v < shard.views; v++) {
            cache_logits(&cache.manifest, &shard, i, v, logits);
            double sum = 0;
            for (int k = 0; k < CLASSES; k++)
                sum += probabilities[k] = exp((double)logits[k]);
            for (int k = 0; k < CLASSES; k++) {
                means[k] += probabilities[k] / sum / shard.views;
                entropy -= probabilities[k] / sum * log(probabilities[k] / sum + 1e-300);
            }
        }
        double variance = 0;
        for (int k = 0; k < CLASSES; k++)
            variance += (means[k] - 0.1) * (means[k] - 0.1) / CLASSES;
        squares += variance;
    }
    cache_teaching(&cache.manifest, &teaching);
    assert_true(fabs(teaching.deviation - sqrt(squares / shard.count)) < 1e-6);
    assert_true(fabs(teaching.entropy - entropy / shard.count / shard.views) < 1e-6);
    assert_int_equal(teaching.labelled, 120);
    assert_int_equal(teaching.correct, 120);
    cache_shard_release(&shard);
    cache_release(&cache);
    expect(0, "\"too_strong\":false", shell("%s inspect out --json | tr -d ' \t'", dumper));
    /* turned colours are other classes' colours */
    expect(
        0, "the recipe is too strong for this teacher: it is right on ",
        shell("rm -rf out; %s run --data photos --teacher good.onnx --out out --size 24 --base 24 --views 4 --augment "
              "'color_jitter(hue=0.5)' %s",
              dumper, half));
    expect(0, "of the views, but on 100.0 % of plain training photos", 0);
    expect(0, "  color_jitter(hue=0.5) ",
           shell("rm -rf out; %s run --data photos --teacher good.onnx --out out --size 24 --base 24 --compare-augment "
                 "--augment 'color_jitter(hue=0.5)' %s",
                 dumper, half));
    expect(0, "too strong for this teacher\n", 0);
    expect(0, "  none            100.0 %", 0);
    expect(0, "  photos-mix ", 0);
    expect(0, "try first: --augment ", 0);
    expect(1, "", shell("test -e out"));
}

/* ---- statistics ---- */

static void binomial_tails(void **state)
{
    (void)state;
    assert_true(fabs(binomial_at_least(0, 10, 0.3) - 1) < 1e-12);
    assert_true(fabs(binomial_at_least(9, 10, 0.5) - 11.0 / 1024) < 1e-12);
    assert_true(fabs(binomial_at_most(1, 10, 0.5) - 11.0 / 1024) < 1e-12);
    assert_true(fabs(binomial_at_most(10, 10, 0.7) - 1) < 1e-12);
    assert_true(near_chance(20, 200, 0.1) && near_chance(100, 200, 0.5) && near_chance(0, 200, 0.001));
    assert_false(near_chance(40, 200, 0.1));  /* poor, but no guessing */
    assert_false(near_chance(4, 200, 0.001)); /* twenty times better than guessing */
    assert_false(near_chance(1, 10, 0.1));    /* too few to tell */
    assert_false(near_chance(0, 20, 0.001));
    assert_true(significantly_better(12, 1, 0.005) && !significantly_better(12, 6, 0.005));
    assert_false(significantly_better(0, 0, 0.5));
}

/* All permutations of n columns, for comparison. */
static int best_by_trying(const int *values, int n, int row, unsigned taken)
{
    int best = row == n ? 0 : -1;
    for (int j = 0; j < n && row < n; j++)
        if (!(taken >> j & 1)) {
            const int rest = values[row * n + j] + best_by_trying(values, n, row + 1, taken | 1u << j);
            best = rest > best ? rest : best;
        }
    return best;
}

static void assignments(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int trial = 0; trial < 200; trial++) {
        const int n = 1 + trial % 7;
        int values[49], rows[7], sum = 0;
        unsigned seen = 0;
        for (int i = 0; i < n * n; i++) {
            seed = seed * 1664525 + 1013904223;
            values[i] = (int)(seed >> 24) % (trial % 3 ? 100 : 3);
        }
        assert_true(best_assignment(values, n, rows));
        for (int j = 0; j < n; j++) {
            sum += values[rows[j] * n + j];
            seen |= 1u << rows[j];
        }
        assert_int_equal(seen, (1u << n) - 1);
        assert_int_equal(sum, best_by_trying(values, n, 0, 0));
    }
    /* nothing speaks for another order */
    const int zeros[9] = {0};
    int rows[3];
    assert_true(best_assignment(zeros, 3, rows) && rows[0] == 0 && rows[1] == 1 && rows[2] == 2);
}

/* An order that is fitted to guesses must not be found: on the photos that it was fitted to, it looks good. */
static void guesses_have_no_order(void **state)
{
    (void)state;
    enum { MANY = 20, COUNT = 5 * MANY };
    const char *names[MANY];
    for (int k = 0; k < MANY; k++)
        names[k] = "";
    uint32_t seed = 3;
    for (int trial = 0; trial < 200; trial++) {
        int labels[COUNT], predicted[COUNT], rounds[COUNT], order[MANY], right;
        bool found;
        for (int i = 0; i < COUNT; i++) {
            seed = seed * 1664525 + 1013904223;
            labels[i] = i % MANY;
            rounds[i] = i / MANY;
            predicted[i] = (int)(seed >> 16) % MANY;
        }
        const struct predictions guesses = {labels, predicted, rounds, COUNT, MANY, names};
        assert_int_equal(check_fitted_order(&guesses, order, &found, &right, NULL), STATUS_OK);
        assert_false(found);
        assert_true(right < COUNT / 4); /* guessing gives a twentieth, an order that knows its photos nearly half */
        /* and an order that four of five photos follow is found */
        for (int i = 0; i < COUNT; i++)
            predicted[i] = rounds[i] ? (labels[i] + 3) % MANY : predicted[i];
        assert_int_equal(check_fitted_order(&guesses, order, &found, &right, NULL), STATUS_OK);
        assert_true(found && order[3] == 0 && order[2] == MANY - 1 && right >= 50);
    }
}

static void natural_order(void **state)
{
    (void)state;
    static const char *const names[] = {"1", "10", "2", "02", "b10", "B9", "a", "class 12 b", "class 12 a", "class 3"};
    static const char *const right[] = {"1", "02", "2", "10", "a", "B9", "b10", "class 3", "class 12 a", "class 12 b"};
    int order[10];
    class_order_natural(names, 10, order);
    for (int i = 0; i < 10; i++)
        assert_string_equal(names[order[i]], right[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_teacher_goes_on),
        cmocka_unit_test(it_leaves_the_shards_and_is_done_once),
        cmocka_unit_test(few_photos_tell_nothing),
        cmocka_unit_test(the_order_of_the_classes),
        cmocka_unit_test(probabilities),
        cmocka_unit_test(normalisations),
        cmocka_unit_test(pixels_up_to_255),
        cmocka_unit_test(guessing),
        cmocka_unit_test(outputs_of_a_larger_teacher),
        cmocka_unit_test(teaching_of_a_cache),
        cmocka_unit_test(binomial_tails),
        cmocka_unit_test(assignments),
        cmocka_unit_test(guesses_have_no_order),
        cmocka_unit_test(natural_order),
    };
    return cmocka_run_group_tests_name("teacher_check", tests, set_up, program_teardown);
}
