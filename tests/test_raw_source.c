/* Readers of data sets without image files: CIFAR (binary and pickled), NumPy archives, IDX. */
#define _GNU_SOURCE
#include "formats/datasets/image_source.h"
#include "formats/datasets/pickle.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include "tests/helper_sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

enum { CIFAR_RECORD = 3073 };

static void write_cifar_batch(const char *folder, const char *name, int records, int first)
{
    uint8_t *bytes = malloc((size_t)records * CIFAR_RECORD);
    for (int r = 0; r < records; r++) {
        uint8_t *record = bytes + (size_t)r * CIFAR_RECORD;
        record[0] = (uint8_t)((first + r) % 10);
        for (int i = 0; i < 3072; i++)
            record[1 + i] = (uint8_t)(7 * (first + r) + i + i / 1024);
    }
    write_file(folder, name, bytes, (size_t)records * CIFAR_RECORD);
    free(bytes);
}

static void test_cifar10(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    write_cifar_batch(folder, "data_batch_1.bin", 3, 0);
    expect_refusal(folder, STATUS_NO_INPUT, "is missing");
    write_cifar_batch(folder, "data_batch_2.bin", 2, 3);
    write_cifar_batch(folder, "test_batch.bin", 2, 7);
    open_source(&source, folder);
    assert_string_equal(source.format, "CIFAR-10");
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 5);
    assert_int_equal(source.sets[SPLIT_VAL].count, 2);
    assert_int_equal(source.h, 32);
    assert_int_equal(source.channels, 3);
    assert_string_equal(source.classes[9], "truck");
    expect_sample(&source, SPLIT_TRAIN, 4, "train/000004", 4);
    expect_sample(&source, SPLIT_VAL, 1, "val/000001", 8);
    assert_int_equal(image_source_read(&source, SPLIT_TRAIN, 4, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(size, 3072);
    for (int i = 0; i < 1024; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(bytes[3 * i + c], (uint8_t)(7 * 4 + (1024 * c + i) + c));
    free(bytes);
    assert_int_equal(image_source_read(&source, SPLIT_VAL, 1, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(bytes[0], 7 * 8);
    free(bytes);
    image_source_release(&source);

    static const char meta[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
    write_file(folder, "batches.meta.txt", meta, sizeof meta - 1);
    open_source(&source, folder);
    assert_string_equal(source.classes[9], "j");
    image_source_release(&source);
    write_file(folder, "batches.meta.txt", "a\nb\n", 4);
    expect_refusal(folder, STATUS_BAD_DATA, "2 class names instead of 10");
    write_file(folder, "batches.meta.txt", meta, sizeof meta - 1);
    write_file(folder, "data_batch_3.bin", meta, 9);
    expect_refusal(folder, STATUS_BAD_DATA, "not a whole number of records");
    uint8_t wrong[CIFAR_RECORD] = {10};
    write_file(folder, "data_batch_3.bin", wrong, sizeof wrong);
    expect_refusal(folder, STATUS_BAD_DATA, "record 0 has label 10");
}

/* Writes an IDX file of `count` items of h x w (h 0: labels) with values from `first` on, modulo `modulus`. */
static void write_idx(const char *folder, const char *name, uint32_t count, int h, int w, int first, int modulus,
                      bool gzip)
{
    uint8_t bytes[4096] = {0, 0, 8, (uint8_t)(h ? 3 : 1), 0, 0, (uint8_t)(count >> 8), (uint8_t)count};
    size_t used = 8;
    if (h) {
        bytes[11] = (uint8_t)h;
        bytes[15] = (uint8_t)w;
        used = 16;
    }
    for (uint32_t i = 0; i < count * (uint32_t)(h ? h * w : 1); i++)
        bytes[used++] = (uint8_t)((first + (int)i) % modulus);
    write_file(folder, name, bytes, gzip ? 0 : used);
    if (gzip) {
        char *path = path_join(folder, name);
        gzFile file = gzopen(path, "wb");
        assert_int_equal(gzwrite(file, bytes, (unsigned)used), (int)used);
        gzclose(file);
        free(path);
    }
}

static void write_mnist(const char *folder, bool gzip)
{
    const char *end = gzip ? ".gz" : "";
    char name[128];
    snprintf(name, sizeof name, "fashion/train-images-idx3-ubyte%s", end);
    write_idx(folder, name, 12, 5, 4, 0, 251, gzip);
    snprintf(name, sizeof name, "fashion/train-labels-idx1-ubyte%s", end);
    write_idx(folder, name, 12, 0, 0, 0, 10, gzip);
    snprintf(name, sizeof name, "fashion/t10k-images-idx3-ubyte%s", end);
    write_idx(folder, name, 3, 5, 4, 9, 251, gzip);
    snprintf(name, sizeof name, "fashion/t10k-labels-idx1-ubyte%s", end);
    write_idx(folder, name, 3, 0, 0, 4, 10, gzip);
}

static void check_idx(const char *parent, bool gzip)
{
    struct image_source source;
    struct error err = {0};
    struct image image;
    uint8_t *bytes;
    size_t size;
    char *folder = path_join(parent, "fashion");
    write_mnist(parent, gzip);
    open_source(&source, folder);
    assert_string_equal(source.format, "IDX");
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 12);
    assert_int_equal(source.sets[SPLIT_VAL].count, 3);
    assert_int_equal(source.h, 5);
    assert_int_equal(source.w, 4);
    assert_int_equal(source.channels, 1);
    assert_int_equal(source.class_count, 10);
    assert_string_equal(source.classes[9], "Ankle boot");
    expect_sample(&source, SPLIT_TRAIN, 11, "train/000011", 1);
    expect_sample(&source, SPLIT_VAL, 2, "val/000002", 6);
    assert_int_equal(image_source_read(&source, SPLIT_VAL, 2, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(size, 20);
    assert_int_equal(bytes[19], 9 + 59);
    assert_int_equal(image_decode(&(struct image_coding){IMAGE_RAW, 5, 4, 1, {0}}, bytes, size, "x", &image, &err),
                     STATUS_OK);
    assert_memory_equal(image.pixels, bytes, 20);
    image_release(&image);
    assert_int_equal(image_decode(&(struct image_coding){IMAGE_RAW, 5, 5, 1, {0}}, bytes, size, "x", &image, &err),
                     STATUS_BAD_DATA);
    free(bytes);
    image_source_release(&source);
    free(folder);
}

/* The fine labels of CIFAR-100, and its names. */
static void test_cifar100(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct error err = {0};
    static uint8_t records[2][2 + 3072] = {{7, 99}, {8, 0}};
    char names[1200] = "";
    uint8_t *bytes;
    size_t size;
    for (int i = 0; i < 100; i++)
        sprintf(names + strlen(names), "name%d\n", i);
    records[1][2 + 1024] = 77; /* the first byte of green */
    write_file(folder, "train.bin", records, sizeof records);
    write_file(folder, "test.bin", records, sizeof records[0]);
    write_file(folder, "fine_label_names.txt", names, strlen(names));
    open_source(&source, folder);
    assert_string_equal(source.format, "CIFAR-100");
    assert_string_equal(source.classes[99], "name99");
    expect_sample(&source, SPLIT_TRAIN, 0, "train/000000", 99);
    expect_sample(&source, SPLIT_TRAIN, 1, "train/000001", 0);
    expect_sample(&source, SPLIT_VAL, 0, "val/000000", 99);
    assert_int_equal(image_source_read(&source, SPLIT_TRAIN, 1, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(bytes[1], 77);
    free(bytes);
    image_source_release(&source);
}

static void check_pickled(const char *path, const char *format, int class_count, const char *last, const int labels[3])
{
    struct image_source source;
    struct error err = {0};
    open_source(&source, path);
    assert_string_equal(source.format, format);
    assert_int_equal(source.class_count, class_count);
    assert_string_equal(source.classes[class_count - 1], last);
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 2);
    assert_int_equal(source.sets[SPLIT_VAL].count, 1);
    for (int i = 0; i < 3; i++) {
        const enum split split = i < 2 ? SPLIT_TRAIN : SPLIT_VAL;
        uint8_t *bytes;
        size_t size;
        assert_int_equal(source.sets[split].samples[i % 2].label, labels[i]);
        assert_int_equal(image_source_read(&source, split, (size_t)(i % 2), &bytes, &size, &err), STATUS_OK);
        for (int k = 0; k < 3072; k++)
            assert_int_equal(bytes[3 * (k % 1024) + k / 1024], (7 * i + 3 * k) % 251);
        free(bytes);
    }
    image_source_release(&source);
}

/* What Python wrote: make_cifar_python.py. */
static void test_cifar_python(void **state)
{
    (void)state;
    check_pickled("tests/golden/cifar_python/published10", "CIFAR-10", 10, "ten9", (const int[]){9, 0, 4});
    check_pickled("tests/golden/cifar_python/protocol4", "CIFAR-100", 100, "hundred99", (const int[]){99, 0, 47});
    check_pickled("tests/golden/cifar_python/protocol5", "CIFAR-100", 100, "hundred99", (const int[]){99, 0, 47});
}

static void check_npz(const char *path, const char *val_from, const size_t counts[SPLIT_COUNT], int h, int w,
                      int channels)
{
    struct image_source source;
    struct error err = {0};
    const struct image_source_options options = {val_from, 1};
    if (image_source_open(&source, path, &options, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    assert_string_equal(source.format, "NPZ");
    assert_true(source.h == h && source.w == w && source.channels == channels);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        assert_int_equal(source.sets[split].count, counts[split]);
        for (size_t i = 0; i < counts[split] && !val_from; i++) {
            uint8_t *bytes;
            size_t size;
            const size_t first = split == SPLIT_TRAIN ? 0 : split == SPLIT_TEST || counts[SPLIT_TRAIN] == 3 ? 3 : 2;
            assert_int_equal(image_source_read(&source, (enum split)split, i, &bytes, &size, &err), STATUS_OK);
            assert_int_equal(size, h * w * channels);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(bytes[k], (7 * (first + i) + 3 * k) % 251);
            free(bytes);
        }
    }
    image_source_release(&source);
}

/* What numpy wrote: make_npz.py. */
static void test_npz(void **state)
{
    struct error err = {0};
    uint8_t *keras;
    size_t size;
    check_npz("tests/golden/npz/keras.npz", NULL, (const size_t[]){3, 1, 0}, 5, 4, 1);
    check_npz("tests/golden/npz/medmnist.npz", NULL, (const size_t[]){2, 2, 2}, 4, 6, 3);
    check_npz("tests/golden/npz/planes.npz", NULL, (const size_t[]){3, 1, 0}, 5, 4, 3);
    expect_refusal("tests/golden/npz/alone.npz", STATUS_BAD_DATA, "no val/ folder to evaluate on");
    check_npz("tests/golden/npz/alone.npz", "train:0.5", (const size_t[]){2, 1, 0}, 5, 4, 1);
    expect_refusal("tests/golden/npz/float.npz", STATUS_BAD_DATA, "x_train must be bytes (uint8), not f4");
    expect_refusal("tests/golden/npz/object.npz", STATUS_BAD_DATA, "array x_train is not one of numbers");
    expect_refusal("tests/golden/npz", STATUS_BAD_DATA, "is not a known data set"); /* which one? */
    file_read("tests/golden/npz/keras.npz", 1 << 20, &keras, &size, &err);
    write_file(*state, "data.npz", keras, size);
    check_npz(*state, NULL, (const size_t[]){3, 1, 0}, 5, 4, 1);
    write_file(*state, "data.npz", keras, size - 30);
    expect_refusal(*state, STATUS_BAD_DATA, "its end is missing");
    free(keras);
}

static void expect_no_pickle(const char *bytes, size_t size, const char *words)
{
    const struct pickle_value *value;
    struct error err = {0};
    struct arena arena = {0};
    assert_int_equal(pickle_parse((const uint8_t *)bytes, size, "x", &arena, &value, &err), STATUS_BAD_DATA);
    if (!strstr(err.message, words))
        fail_msg("the message has no '%s': %s", words, err.message);
    arena_release(&arena);
}

/* Nothing is called and nothing unknown is built. */
static void test_hostile_pickles(void **state)
{
    (void)state;
    expect_refusal("tests/golden/cifar_python/hostile", STATUS_BAD_DATA, "opcode 0x53 at byte 15");
    expect_no_pickle("\x80\x02"
                     "cposix\nsystem\nX\4\0\0\0true\x85R.",
                     30, "would call posix.system near byte");
    expect_no_pickle("\x80\x04\x8c\2os\x8c\6system\x93)R.", 17, "would call os.system");
    expect_no_pickle("c__builtin__\neval", 17, "the data ends in a name");
    expect_no_pickle("(((", 3, "the data ends");
    expect_no_pickle("]e.", 3, "values without a mark");
    expect_no_pickle("h\5.", 3, "an unknown memo");
    expect_no_pickle("T\xff\xff\xff\xff", 5, "the data ends in a string");
    expect_no_pickle("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", 9, "the data ends in a string");
}

static void test_idx(void **state)
{
    check_idx(*state, false);
}

static void test_idx_gzip(void **state)
{
    check_idx(*state, true);
}

static void test_idx_refusals(void **state)
{
    const char *parent = *state;
    char *folder = path_join(parent, "fashion");
    write_mnist(parent, false);
    write_idx(folder, "t10k-labels-idx1-ubyte", 3, 0, 0, 9, 251, false);
    expect_refusal(folder, STATUS_BAD_DATA, "t10k has label 11");
    write_idx(folder, "t10k-labels-idx1-ubyte", 2, 0, 0, 0, 10, false);
    expect_refusal(folder, STATUS_BAD_DATA, "t10k: 3 images but 2 labels");
    write_idx(folder, "t10k-images-idx3-ubyte", 3, 5, 5, 0, 10, false);
    write_idx(folder, "t10k-labels-idx1-ubyte", 3, 0, 0, 0, 10, false);
    expect_refusal(folder, STATUS_BAD_DATA, "images are 5 x 5, but 5 x 4");
    static const uint8_t huge[16] = {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    write_file(folder, "t10k-images-idx3-ubyte", huge, sizeof huge);
    expect_refusal(folder, STATUS_BAD_DATA, "get it again");
    write_file(folder, "t10k-images-idx3-ubyte", huge, 15);
    expect_refusal(folder, STATUS_BAD_DATA, "is not an IDX file");
    static const uint8_t half_gzip[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b};
    write_file(folder, "t10k-images-idx3-ubyte", half_gzip, sizeof half_gzip);
    expect_refusal(folder, STATUS_BAD_DATA, "truncated gzip");
    /* 60 values, says the header, and 16 MB follow: as few kilobytes as it takes to find out are read. */
    char *bomb = path_join(folder, "t10k-images-idx3-ubyte");
    static const uint8_t small[16] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 4};
    gzFile packed = gzopen(bomb, "wb");
    uint8_t *zeros = calloc(1, 1 << 24);
    assert_int_equal(gzwrite(packed, small, sizeof small), (int)sizeof small);
    assert_int_equal(gzwrite(packed, zeros, 1 << 24), 1 << 24);
    gzclose(packed);
    free(zeros);
    free(bomb);
    expect_refusal(folder, STATUS_BAD_DATA, "decompresses to more than the limit of 76 bytes");
    char *labels = path_join(folder, "t10k-labels-idx1-ubyte");
    write_idx(folder, "t10k-images-idx3-ubyte", 3, 5, 4, 0, 10, false);
    unlink(labels);
    expect_refusal(folder, STATUS_NO_INPUT, "has no t10k-labels-idx1-ubyte");
    free(labels);
    free(folder);
}

static void test_fashion_mnist(void **state)
{
    static const char path[] = "/usr/share/datasets/fashion-mnist";
    (void)state;
    struct image_source source;
    if (!folder_exists(path)) {
        print_message("dataset-fashion-mnist is not installed\n");
        skip();
    }
    open_source(&source, path);
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 60000);
    assert_int_equal(source.sets[SPLIT_VAL].count, 10000);
    assert_int_equal(source.h, 28);
    expect_sample(&source, SPLIT_TRAIN, 0, "train/000000", 9);
    assert_string_equal(source.classes[9], "Ankle boot");
    image_source_release(&source);
}
int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(test_cifar10),
                                       IN_FOLDER(test_cifar100),
                                       cmocka_unit_test(test_cifar_python),
                                       IN_FOLDER(test_npz),
                                       cmocka_unit_test(test_hostile_pickles),
                                       IN_FOLDER(test_idx),
                                       IN_FOLDER(test_idx_gzip),
                                       IN_FOLDER(test_idx_refusals),
                                       cmocka_unit_test(test_fashion_mnist)};
    return cmocka_run_group_tests_name("raw_source", tests, NULL, NULL);
}
