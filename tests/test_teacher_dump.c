/* The program teacher_dump, run as a user runs it: messages, exit codes, and the bytes that it leaves. */
#define _GNU_SOURCE
#include "formats/cache/cache.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_model.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char tiny[] = "tests/golden/teachers/tiny.onnx";

/* A folder with two data sets: photos of odd sizes, and a raw set large enough for several shards. */
struct fixture {
    char *folder;
    char photos[128], raw[128], out[128], other[128];
    rlim_t file_limit;  /* bytes that a command may write to one file: stands for a full disk; 0: no limit */
    char text[1 << 16]; /* what the last command printed, both streams */
};

static char *const *arguments(char **list, size_t capacity, va_list rest)
{
    const char *build = getenv("BUILD");
    static char program[512];
    size_t count = 0;
    snprintf(program, sizeof program, "%s/teacher_dump", build ? build : "build");
    list[count++] = program;
    for (char *argument; (argument = va_arg(rest, char *)) && count + 1 < capacity;)
        list[count++] = argument;
    list[count] = NULL;
    return list;
}

/* Starts a command with both streams into a file. */
static pid_t start(const struct fixture *f, char *const *list)
{
    char path[256];
    snprintf(path, sizeof path, "%s/output", f->folder);
    pid_t child = fork();
    if (child == 0) {
        int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(file, 1);
        dup2(file, 2);
        if (f->file_limit) {
            const struct rlimit limit = {.rlim_cur = f->file_limit, .rlim_max = f->file_limit};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        execv(list[0], list);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}

static int finish(struct fixture *f, pid_t child)
{
    char path[256];
    unsigned char *bytes;
    size_t size;
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    snprintf(path, sizeof path, "%s/output", f->folder);
    assert_int_equal(file_read(path, sizeof f->text - 1, &bytes, &size, NULL), STATUS_OK);
    memcpy(f->text, bytes, size + 1);
    free(bytes);
    return WIFSIGNALED(code) ? 1000 + WTERMSIG(code) : WEXITSTATUS(code);
}

/* Runs teacher_dump with these arguments (NULL ends them); returns the exit code. */
static int run(struct fixture *f, ...)
{
    char *list[40];
    va_list rest;
    va_start(rest, f);
    pid_t child = start(f, arguments(list, 40, rest));
    va_end(rest);
    return finish(f, child);
}

#define assert_run(code, text_, ...)                                                    \
    do {                                                                                \
        int got_ = run(__VA_ARGS__, NULL);                                              \
        if (got_ != (code) || !strstr(f->text, text_))                                  \
            fail_msg("exit %d, wanted %d and \"%s\":\n%s", got_, code, text_, f->text); \
    } while (0)

static void write_raw(const char *folder, const char *name, uint32_t count, uint32_t seed)
{
    enum { RECORD = 3073 };
    unsigned char *bytes = malloc((size_t)count * RECORD);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct image photo;
        unsigned char *record = bytes + (size_t)i * RECORD;
        synthetic_photo(&photo, 32, 32, (int)(i % 10), seed + i);
        record[0] = (unsigned char)(i % 10);
        for (int p = 0; p < 1024; p++)
            for (int c = 0; c < 3; c++)
                record[1 + c * 1024 + p] = photo.pixels[p * 3 + c];
        image_release(&photo);
    }
    write_file(folder, name, bytes, (size_t)count * RECORD);
    free(bytes);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = temporary_folder();
    snprintf(f->photos, sizeof f->photos, "%s/photos", f->folder);
    snprintf(f->raw, sizeof f->raw, "%s/raw", f->folder);
    snprintf(f->out, sizeof f->out, "%s/cache", f->folder);
    snprintf(f->other, sizeof f->other, "%s/other", f->folder);
    write_image_folder(f->photos, "train", 10, 3, 53, 71);
    write_image_folder(f->photos, "val", 10, 1, 40, 37);
    *state = f;
    return 0;
}

/* Seven shards: the raw set is big enough for several. */
static int set_up_raw(void **state)
{
    set_up(state);
    struct fixture *f = *state;
    write_raw(f->raw, "data_batch_1.bin", 5 * CACHE_SHARD_SAMPLES, 0);
    write_raw(f->raw, "test_batch.bin", CACHE_SHARD_SAMPLES + 5, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    remove_folder(f->folder);
    free(f->folder);
    free(f);
    return 0;
}

/* One digest over names and contents of a folder without subfolders. */
static void folder_digest(const char *folder, char hex[DIGEST_HEX_SIZE])
{
    struct folder_entry *entries;
    struct digest *digest;
    size_t count;
    assert_int_equal(folder_list(folder, &entries, &count, NULL), STATUS_OK);
    assert_true(count > 0);
    assert_int_equal(digest_new(&digest, NULL), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char *path = path_join(folder, entries[i].name), one[DIGEST_HEX_SIZE];
        if (entries[i].is_folder)
            fail_msg("%s was left behind", path);
        assert_int_equal(digest_file(path, one, NULL, NULL), STATUS_OK);
        digest_update(digest, entries[i].name, strlen(entries[i].name) + 1);
        digest_update(digest, one, sizeof one);
        free(path);
    }
    digest_finish(digest, hex);
    folder_list_free(entries, count);
}

static void assert_same_folders(const char *a, const char *b)
{
    char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];
    folder_digest(a, one);
    folder_digest(b, two);
    assert_string_equal(one, two);
}

static void end_to_end(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "complete (130 views", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--views",
               "4", "--base", "36", "--feature", "map1:int8:views=3", "--feature", "map0:pooled", "--feature", "map1",
               "--feature", "map1:at:views=1", "--feature-views", "2");
    assert_non_null(strstr(f->text, "data: ImageFolder, JPEG, 10 classes, train 30, val 10"));
    assert_run(0, "2 shards, all as the manifest says", f, "verify", f->out);
    assert_run(0, "40 views rechecked, 40 identical", f, "recheck", f->out, "--teacher", tiny, "-n", "40");
    assert_run(0, "  map0     pooled  8x1x1             2             16    960 bytes\n", f, "inspect", f->out,
               "--views", "3", "--sample", "7");
    assert_non_null(strstr(f->text, "  map1     int8    12x8x8            3            816      73.4 kB\n"));
    assert_non_null(strstr(f->text, "  map1     fp16    12x8x8            2           1536      92.2 kB\n"));
    assert_non_null(strstr(f->text, "  map1     at      1x8x8             1            128       3.8 kB\n"));
    assert_non_null(strstr(f->text, "views of train/class_02/0001.jpg (id 7, base 36x48)"));
    assert_run(0, "\"bytes_per_view\":", f, "inspect", f->out, "--json");
    assert_non_null(strstr(f->text, "\"uncompressed_bytes_per_view\":\t816"));
    assert_run(0, "complete, every shard verified", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--views", "4", "--base", "36", "--feature", "map1:views=3:int8", "--feature", "map0:pooled",
               "--feature", "map1:fp16", "--feature", "map1:at:views=1", "--feature-views", "2");
    assert_run(0, "logits", f, "inspect", tiny);
}

static void bytes_depend_on_neither_threads_nor_batch(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--threads", "1",
               "--batch", "5", "--feature", "map1");
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--threads", "3",
               "--batch", "64", "--feature", "map1");
    assert_same_folders(f->out, f->other);
}

/* oneDNN's own variable stands for another processor. */
static void another_instruction_set_is_not_mixed_unseen(void **state)
{
    struct fixture *f = *state;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        skip();
    setenv("ONEDNN_MAX_CPU_ISA", "AVX", 1);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    assert_run(0, " AVX\n", f, "inspect", f->out);
    write_file(f->out, "train-00000.h5", "", 0);
    unsetenv("ONEDNN_MAX_CPU_ISA");
    assert_run(78, "answers differ in their last bits", f, "run", "--data", f->photos, "--teacher", tiny, "--out",
               f->out, "--deterministic");
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--deterministic",
               "--allow-mixed");
    assert_run(0, "(mixed: ", f, "inspect", f->out);
    assert_non_null(strstr(f->text, " AVX\n           and oneDNN"));
    assert_run(0, "as the manifest says", f, "verify", f->out);
    assert_run(0, "identical", f, "recheck", f->out, "--teacher", tiny);
    /* Without mixing, what --deterministic makes is what a processor with AVX2 makes. */
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--deterministic");
    char first[DIGEST_HEX_SIZE], second[DIGEST_HEX_SIZE];
    folder_digest(f->other, first);
    assert_run(0, "", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--deterministic");
    write_file(f->other, "train-00000.h5", "", 0);
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other);
    unsetenv("ONEDNN_MAX_CPU_ISA");
    folder_digest(f->other, second);
    assert_string_equal(first, second);
    if (!__builtin_cpu_supports("avx512bw"))
        return;
    /* The oldest AVX-512 and the newest one are the same kind. */
    remove_folder(f->out);
    remove_folder(f->other);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", 1);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other);
    unsetenv("ONEDNN_MAX_CPU_ISA");
    assert_same_folders(f->out, f->other);
}

/* A Conv that pads a 32x32 image by 3000 pixels: 400 bytes whose values take 1.5 GB a thread. */
static void write_bomb(const struct fixture *f)
{
    struct proto graph = {0}, node = {0}, pads = {0}, model = {0};
    const float weights[30] = {0};
    proto_text(&pads, ATTRIBUTE_NAME, "pads");
    for (int i = 0; i < 4; i++)
        proto_int(&pads, ATTRIBUTE_INTS, 3000);
    proto_int(&pads, 20, 7); /* AttributeProto.type: INTS */
    proto_text(&node, NODE_INPUT, "x");
    proto_text(&node, NODE_INPUT, "w");
    proto_text(&node, NODE_OUTPUT, "wide");
    proto_text(&node, NODE_OP_TYPE, "Conv");
    proto_message(&node, NODE_ATTRIBUTE, &pads);
    proto_message(&graph, GRAPH_NODE, &node);
    model_put_node(&graph, "GlobalAveragePool", "wide", "mean");
    model_put_node(&graph, "Flatten", "mean", "y");
    model_put_tensor(&graph, "w", ONNX_FLOAT, (const int64_t[]){10, 3, 1, 1}, 4, weights, sizeof weights);
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 3, 32, 32}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, (const int64_t[]){-1, 10}, 2);
    model_make(&model, &graph, 13);
    write_file(f->folder, "bomb.onnx", model.bytes, model.size);
    proto_release(&model);
}

static void values_of_a_teacher_are_estimated_first(void **state)
{
    struct fixture *f = *state;
    char bomb[256];
    snprintf(bomb, sizeof bomb, "%s/bomb.onnx", f->folder);
    write_bomb(f);
    const char *const modes[] = {"--dry-run", "--quiet"};
    for (int i = 0; i < 2; i++) {
        assert_run(78, "the teacher's values need", f, "run", "--data", f->photos, "--teacher", bomb, "--out", f->out,
                   "--threads", "2", "--max-memory", "1G", modes[i]);
        assert_non_null(strstr(f->text, "(2 threads, 1.5 GB each), but there may be 1.1 GB"));
    }
}

static void dry_run_writes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "nothing was written", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--dry-run");
    assert_run(0, "  map1      at      1x8x8             8            128      30.7 kB\n", f, "run", "--data",
               f->photos, "--teacher", tiny, "--out", f->out, "--dry-run", "--feature", "map1:at", "--feature",
               "embedding:int8");
    assert_non_null(strstr(f->text, "embedding: int8 takes more space than fp16"));
    assert_null(strstr(f->text, "map1: int8"));
    assert_false(folder_exists(f->out));
}

/* Starts a run and sends a signal once a second shard is there: the first has its record then. */
static int run_and_signal(struct fixture *f, int number, ...)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    char *list[40], path[256];
    va_list rest;
    va_start(rest, number);
    pid_t child = start(f, arguments(list, 40, rest));
    va_end(rest);
    snprintf(path, sizeof path, "%s/train-00001.h5", f->out);
    for (int i = 0; i < 60000 && !file_exists(path); i++)
        nanosleep(&pause, NULL);
    kill(child, number);
    return finish(f, child);
}

static void interrupted_and_resumed_ends_the_same(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "complete (22533 views", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->other, "--views",
               "2", "--augment", "cifar");
    for (int number = SIGINT; number <= SIGKILL; number += SIGKILL - SIGINT) {
        int code = run_and_signal(f, number, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views",
                                  "2", "--augment", "cifar", NULL);
        assert_int_equal(code, number == SIGKILL ? 1000 + SIGKILL : 130);
        if (number == SIGINT)
            assert_non_null(strstr(f->text, "run the same command again to resume"));
        assert_run(66, "is an unfinished cache", f, "verify", f->out);
        assert_run(0, "complete (", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views", "2",
                   "--augment", "cifar");
        assert_null(strstr(f->text, "complete (22533 views")); /* some of it was there */
        assert_same_folders(f->out, f->other);
        remove_folder(f->out);
    }
}

static void parts_fill_one_cache(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "complete", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->other, "--views", "1");
    assert_run(0, "this part is done", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views", "1",
               "--part", "2/2");
    assert_non_null(strstr(f->text, "4 shards of other parts"));
    assert_run(0, "complete", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views", "1", "--part",
               "1/2");
    assert_same_folders(f->out, f->other);
}

static const char mixing[] = "light+erase+mixup(alpha=1)+cutmix(p=0.9)";

static void mixed_views(void **state)
{
    struct fixture *f = *state;
    char path[256];
    assert_run(0, "complete (130 views", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--views",
               "4", "--base", "36", "--augment", mixing, "--threads", "1", "--batch", "5");
    assert_run(0, "100 views rechecked, 100 identical", f, "recheck", f->out, "--teacher", tiny, "-n", "100");
    assert_run(0, "  mixup 0.", f, "inspect", f->out, "--views", "4", "--sample", "3");
    assert_non_null(strstr(f->text, "  cutmix 0."));
    assert_non_null(strstr(f->text, " of sample "));
    /* whether partners stay in memory or are decoded again */
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--views", "4",
               "--base", "36", "--augment", mixing, "--threads", "3", "--partner-memory", "12K");
    assert_same_folders(f->out, f->other);
    remove_folder(f->other);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--views", "4",
               "--base", "36", "--augment", mixing, "--images", "link");
    assert_run(0, "100 views rechecked, 100 identical", f, "recheck", f->other, "--teacher", tiny, "-n", "100");
    /* partners are counted among the samples that are kept */
    remove_folder(f->other);
    snprintf(path, sizeof path, "%s/train/class_04/0001.jpg", f->photos);
    assert_int_equal(truncate(path, 700), 0);
    assert_run(0, "1 broken image", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other, "--views", "4",
               "--base", "36", "--augment", mixing, "--on-bad-image", "skip");
    assert_run(0, "100 views rechecked, 100 identical", f, "recheck", f->other, "--teacher", tiny, "-n", "100");
}

/* Partners are of other shards, whoever makes them. */
static void mixed_parts_and_repairs(void **state)
{
    struct fixture *f = *state;
    static const char broken[] = "no shard";
    assert_run(0, "complete", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->other, "--views", "1",
               "--augment", mixing);
    assert_run(0, "500 views rechecked, 500 identical", f, "recheck", f->other, "--teacher", tiny, "-n", "500");
    assert_run(0, "this part is done", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views", "1",
               "--augment", mixing, "--part", "2/2", "--batch", "100");
    assert_run(0, "complete", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views", "1",
               "--augment", mixing, "--part", "1/2");
    assert_same_folders(f->out, f->other);
    write_file(f->out, "train-00003.h5", broken, sizeof broken);
    assert_run(0, "complete (2048 views", f, "run", "--data", f->raw, "--teacher", tiny, "--out", f->out, "--views",
               "1", "--augment", mixing, "--partner-memory", "100K");
    assert_same_folders(f->out, f->other);
}

static void full_disk(void **state)
{
    struct fixture *f = *state;
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other);
    f->file_limit = 20000; /* enough for the val shard and what is printed, not for the train shard */
    assert_run(74, "train-00000.h5: cannot write", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    assert_run(74, "train-00000.h5: cannot write", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    f->file_limit = 0;
    assert_run(0, "complete (250 views", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    assert_same_folders(f->out, f->other);
}

static void broken_shards_are_found_and_repaired(void **state)
{
    struct fixture *f = *state;
    char path[256];
    unsigned char *bytes;
    size_t size;
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->other);
    snprintf(path, sizeof path, "%s/train-00000.h5", f->out);
    assert_int_equal(file_read(path, 1 << 26, &bytes, &size, NULL), STATUS_OK);
    bytes[size / 2] ^= 4;
    write_file(f->out, "train-00000.h5", bytes, size);
    assert_run(65, "train-00000.h5: is damaged", f, "verify", f->out);
    bytes[size / 2] ^= 4;
    write_file(f->out, "train-00000.h5", bytes, size - 100);
    write_file(f->out, "val-00000.h5", bytes, 10);
    assert_run(65, "2 faults", f, "verify", f->out);
    assert_non_null(strstr(f->text, "val-00000.h5: has 10 bytes, but the manifest says"));
    assert_run(65, "train-00000.h5", f, "recheck", f->out, "--teacher", tiny);
    assert_run(0, "complete (", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out);
    assert_same_folders(f->out, f->other);
    free(bytes);
}

static void other_settings_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char other[] = "tests/golden/teachers/other.onnx";
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--views", "1");
    assert_run(78, "teacher.sha256 is", f, "run", "--data", f->photos, "--teacher", other, "--out", f->out, "--views",
               "1");
    assert_run(78, "augmentation.seed is \"1\" there and \"2\" here", f, "run", "--data", f->photos, "--teacher", tiny,
               "--out", f->out, "--views", "1", "--seed", "2");
    assert_run(78, "augmentation.recipe is", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--views", "1", "--augment", "none");
    assert_run(78, "is not the teacher of this cache", f, "recheck", f->out, "--teacher", other);
    write_photo(f->photos, "train/class_00/0000.jpg", 50, 50, 1, 9);
    assert_run(78, "source.sha256 is", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--views",
               "1");
}

static void recheck_notices_other_images(void **state)
{
    struct fixture *f = *state;
    struct cache cache;
    assert_run(0, "complete", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--images", "link");
    assert_run(0, "identical", f, "recheck", f->out, "--teacher", tiny);
    assert_int_equal(cache_open(&cache, f->out, NULL), STATUS_OK);
    cache_release(&cache);
    write_photo(f->photos, "val/class_03/0000.jpg", 40, 37, 5, 9);
    assert_run(65, "val/class_03/0000.jpg: is not the file that the teacher saw", f, "verify", f->out);
}

static void bad_images(void **state)
{
    struct fixture *f = *state;
    char path[256];
    snprintf(path, sizeof path, "%s/train/class_04/0001.jpg", f->photos);
    assert_int_equal(truncate(path, 700), 0);
    write_file(f->photos, "val/class_09/0000.jpg", "no image", 8);
    assert_run(65, "2 of its images are broken, the first is train/class_04/0001.jpg", f, "run", "--data", f->photos,
               "--teacher", tiny, "--out", f->out);
    assert_non_null(strstr(f->text, "bad image val/class_09/0000.jpg: "));
    assert_false(folder_exists(f->out));
    assert_run(0, "2 broken images were left out", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--on-bad-image", "skip");
    assert_run(0, "left out train/class_04/0001.jpg", f, "inspect", f->out);
    assert_run(0, "identical", f, "recheck", f->out, "--teacher", tiny); /* ids with gaps */
}

static void bad_input(void **state)
{
    struct fixture *f = *state;
    char empty[256], below[256];
    snprintf(empty, sizeof empty, "%s/empty", f->folder);
    assert_int_equal(folder_make(empty, NULL), STATUS_OK);
    snprintf(below, sizeof below, "%s/train/class_00/0000.jpg/cache", f->photos);
    assert_run(64, "did you mean --views", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--vews",
               "3");
    assert_run(64, "did you mean food11-strong", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--augment", "food11-strng");
    assert_run(64, "--part 3/2", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out, "--part", "3/2");
    assert_run(64, "did you mean 'verify'", f, "verfy", f->out);
    assert_run(66, "empty", f, "run", "--data", empty, "--teacher", tiny, "--out", f->out);
    assert_run(66, "missing.onnx", f, "run", "--data", f->photos, "--teacher", "missing.onnx", "--out", f->out);
    assert_run(66, "is not a cache", f, "verify", empty);
    assert_run(73, "cache", f, "run", "--data", f->photos, "--teacher", tiny, "--out", below);
    assert_run(73, "proc", f, "run", "--data", f->photos, "--teacher", tiny, "--out", "/proc/softcache");
    assert_run(78, "Erf", f, "run", "--data", f->photos, "--teacher", "tests/golden/teachers/unsupported.onnx", "--out",
               f->out, "--teacher-engine", "native");
    assert_run(78, "export the model without its last softmax", f, "run", "--data", f->photos, "--teacher",
               "tests/golden/teachers/softmax.onnx", "--out", f->out);
    assert_run(78, "has no tensor 'map11'; did you mean 'map1'?", f, "run", "--data", f->photos, "--teacher", tiny,
               "--out", f->out, "--feature", "map11:int8");
    assert_run(78, "did you mean 'map0', 'map1'?", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--feature", "ap");
    assert_run(78, "has no tensor 'map1:int', but 'map1'", f, "run", "--data", f->photos, "--teacher", tiny, "--out",
               f->out, "--feature", "map1:int:views=2");
    assert_run(78, "has no tensor 'map1:at', but 'map1'", f, "run", "--data", f->photos, "--teacher", tiny, "--out",
               f->out, "--feature", "map1:at:fp16");
    assert_run(64, "views=9 is more than --views 8", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--feature", "map1:views=9");
    assert_run(64, "views=0 must be a number", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--feature", "map1:views=0:int8");
    assert_run(64, "the name of a tensor is missing", f, "run", "--data", f->photos, "--teacher", tiny, "--out", f->out,
               "--feature", ":at");
    assert_run(78, "fixed to 32x32, but --size is 64", f, "run", "--data", f->photos, "--teacher", tiny, "--out",
               f->out, "--size", "64");
    write_photo(f->photos, "train/class_10/0000.jpg", 50, 50, 1, 9);
    write_photo(f->photos, "val/class_10/0000.jpg", 50, 50, 1, 10);
    assert_run(78, "has 10 logits, but the data set", f, "run", "--data", f->photos, "--teacher", tiny, "--out",
               f->out);
    assert_false(folder_exists(f->out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(end_to_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_depend_on_neither_threads_nor_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_instruction_set_is_not_mixed_unseen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_a_teacher_are_estimated_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dry_run_writes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(interrupted_and_resumed_ends_the_same, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(parts_fill_one_cache, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(mixed_views, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mixed_parts_and_repairs, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_shards_are_found_and_repaired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_settings_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recheck_notices_other_images, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_images, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_input, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("teacher_dump", tests, NULL, NULL);
}
