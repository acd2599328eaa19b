/* Mutated JPEG, CIFAR-10, IDX and gzip files: any status but a crash, a hang or an internal error. The mutations are
 * the same on every run; a sanitizer build makes reads out of bounds visible. */
#include "formats/datasets/image_source.h"
#include "formats/image/image_file.h"
#include "shared/base/files.h"
#include "shared/base/random.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static const struct image_reading strict = {0};

/* A mutated copy of bytes[size]; malloc'ed to its exact size. */
static uint8_t *mutate(struct random_stream *random, const uint8_t *bytes, size_t size, size_t *mutated_size)
{
    static const uint8_t extremes[] = {0, 1, 0x7F, 0x80, 0xFF};
    const uint32_t length = (uint32_t)size;
    size_t capacity = size + 64;
    uint8_t *copy = malloc(capacity);
    memcpy(copy, bytes, size);
    for (uint32_t round = random_below(random, 3) + 1; round > 0; round--) {
        uint32_t limit = random_below(random, 2) ? length : length < 700 ? length : 700; /* headers are at the front */
        uint32_t at = random_below(random, limit), from = random_below(random, length);
        switch (random_below(random, 6)) {
        case 0:
            copy[at] ^= (uint8_t)(1u << random_below(random, 8));
            break;
        case 1:
            copy[at] = (uint8_t)random_below(random, 256);
            break;
        case 2:
            copy[at] = extremes[random_below(random, sizeof extremes)];
            break;
        case 3: /* a piece appears elsewhere */
            memmove(copy + at, copy + from, length - (at > from ? at : from) < 16 ? 1 : 16);
            break;
        case 4: /* a piece goes, what follows moves up */
            memmove(copy + at, copy + at + (length - at) / 8, length - at - (length - at) / 8);
            break;
        case 5:
            copy[at] = 0xFF;
            if (at + 1 < length)
                copy[at + 1] = (uint8_t)(0xC0 + random_below(random, 0x30)); /* a marker of JPEG */
            break;
        }
    }
    *mutated_size = random_below(random, 4) ? size : random_below(random, length);
    uint8_t *exact = malloc(*mutated_size ? *mutated_size : 1);
    memcpy(exact, copy, *mutated_size);
    free(copy);
    return exact;
}

static void check_status(enum status status, const struct error *err)
{
    if (status != STATUS_OK && status != STATUS_BAD_DATA && status != STATUS_NO_INPUT)
        fail_msg("status %d: %s", status, err->message);
    if (status != STATUS_OK)
        assert_true(err->message[0]);
}

static void fuzz_jpeg(const char *file, uint32_t rounds)
{
    char path[256];
    struct error err = {0};
    struct random_stream random;
    uint8_t *bytes;
    size_t size, accepted = 0;
    snprintf(path, sizeof path, "tests/golden/evaluation_views/%s", file);
    if (file_read(path, 1 << 20, &bytes, &size, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    random_stream_init(&random, 1, RANDOM_SHUFFLE, (uint32_t)size, 0);
    for (uint32_t round = 0; round < rounds; round++) {
        struct error inspect_err = {0}, decode_err = {0};
        struct image_info info;
        struct image image;
        size_t mutated_size;
        uint8_t *mutated = mutate(&random, bytes, size, &mutated_size);
        enum status inspected = image_file_inspect(mutated, mutated_size, "x", &info, &inspect_err);
        enum status decoded = image_file_decode(mutated, mutated_size, &strict, "x", &image, &decode_err);
        check_status(inspected, &inspect_err);
        check_status(decoded, &decode_err);
        if (decoded == STATUS_OK) {
            accepted++;
            assert_int_equal(inspected, STATUS_OK);
            assert_int_equal(image.h, info.h);
            assert_int_equal(image.w, info.w);
        }
        image_release(&image);
        free(mutated);
    }
    assert_true(accepted > 0 && accepted < rounds);
    free(bytes);
}

static void test_jpeg(void **state)
{
    (void)state;
    fuzz_jpeg("gray-37x91.jpg", 1000);
    fuzz_jpeg("cmyk-plain-61x79.jpg", 300);
    fuzz_jpeg("ycck-121x167.jpg", 200);
    fuzz_jpeg("420-225x223.jpg", 200);
    fuzz_jpeg("420-375x501.jpg", 50);
    fuzz_jpeg("progressive-299x447.jpg", 100);
}

struct file {
    const char *name;
    const uint8_t *bytes;
    size_t size;
};

/* Writes the files of a set with the first of them mutated, opens it, reads all of it. */
static void fuzz_source(const struct file *files, int count, uint32_t rounds)
{
    struct random_stream random;
    char *folder = temporary_folder();
    random_stream_init(&random, 2, RANDOM_SHUFFLE, (uint32_t)files[0].size, 0);
    for (int i = 1; i < count; i++)
        write_file(folder, files[i].name, files[i].bytes, files[i].size);
    for (uint32_t round = 0; round < rounds; round++) {
        struct image_source source;
        struct error err = {0};
        size_t size;
        uint8_t *mutated = mutate(&random, files[0].bytes, files[0].size, &size);
        write_file(folder, files[0].name, mutated, size);
        free(mutated);
        enum status status = image_source_open(&source, folder, NULL, &err);
        check_status(status, &err);
        for (int split = 0; status == STATUS_OK && split < SPLIT_COUNT; split++)
            for (size_t i = 0; i < source.sets[split].count; i++) {
                uint8_t *bytes;
                const int label = source.sets[split].samples[i].label;
                assert_true(label >= (split == SPLIT_TEST ? -1 : 0) && label < source.class_count);
                check_status(image_source_read(&source, (enum split)split, i, &bytes, &size, &err), &err);
                free(bytes);
            }
        if (status == STATUS_OK)
            image_source_release(&source);
    }
    remove_folder(folder);
    free(folder);
}

enum { RECORD = 3073, ITEMS = 6, SIDE = 4 };

static void test_cifar10(void **state)
{
    (void)state;
    static uint8_t batch[2 * RECORD] = {3};
    static const uint8_t meta[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    const struct file files[] = {{"data_batch_1.bin", batch, sizeof batch},
                                 {"test_batch.bin", batch, sizeof batch},
                                 {"batches.meta.txt", meta, sizeof meta - 1}};
    const struct file meta_first[] = {files[2], files[0], files[1]};
    fuzz_source(files, 3, 100);
    fuzz_source(meta_first, 3, 200);
}

static struct file golden_file(const char *path, const char *name)
{
    struct error err = {0};
    struct file file = {.name = name};
    uint8_t *bytes;
    if (file_read(path, 1 << 20, &bytes, &file.size, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    file.bytes = bytes;
    return file;
}

static void test_csv(void **state)
{
    (void)state;
    static const char list[] =
        "path,label,split\n\"a\"\"b.jpg\",cat,train\nc.jpg,dog,train\nd.jpg,cat,val\ne.jpg,,test\n";
    const struct file file = {"list.csv", (const uint8_t *)list, sizeof list - 1};
    fuzz_source(&file, 1, 600);
}

/* Pickles: batches and class names, as Python 2 and 3 write them. */
static void test_pickles(void **state)
{
    (void)state;
    const struct file old[] = {golden_file("tests/golden/cifar_python/published10/data_batch_1", "data_batch_1"),
                               golden_file("tests/golden/cifar_python/published10/test_batch", "test_batch"),
                               golden_file("tests/golden/cifar_python/published10/batches.meta", "batches.meta")};
    const struct file new[] = {golden_file("tests/golden/cifar_python/protocol5/train", "train"),
                               golden_file("tests/golden/cifar_python/protocol5/test", "test"),
                               golden_file("tests/golden/cifar_python/protocol5/meta", "meta")};
    const struct file meta_first[] = {new[2], new[0], new[1]};
    fuzz_source(old, 3, 400);
    fuzz_source(new, 3, 400);
    fuzz_source(meta_first, 3, 400);
    for (int i = 0; i < 3; i++) {
        free((void *)(uintptr_t)old[i].bytes);
        free((void *)(uintptr_t) new[i].bytes);
    }
}

static void test_npz(void **state)
{
    (void)state;
    const struct file plain = golden_file("tests/golden/npz/keras.npz", "data.npz"),
                      packed = golden_file("tests/golden/npz/medmnist.npz", "data.npz");
    fuzz_source(&plain, 1, 600);
    fuzz_source(&packed, 1, 600);
    free((void *)(uintptr_t)plain.bytes);
    free((void *)(uintptr_t)packed.bytes);
}

static size_t compress_gzip(const uint8_t *bytes, size_t size, uint8_t *out, size_t capacity)
{
    z_stream stream = {
        .next_in = (z_const Bytef *)bytes, .avail_in = (uInt)size, .next_out = out, .avail_out = (uInt)capacity};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static void test_idx(void **state)
{
    (void)state;
    uint8_t images[16 + ITEMS * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, ITEMS, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    uint8_t labels[8 + ITEMS] = {0, 0, 8, 1, 0, 0, 0, ITEMS, 0, 1, 2, 3, 4, 9}, zipped[512];
    for (int i = 0; i < ITEMS * SIDE * SIDE; i++)
        images[16 + i] = (uint8_t)(i * i);
    const struct file files[] = {{"train-images-idx3-ubyte", images, sizeof images},
                                 {"train-labels-idx1-ubyte", labels, sizeof labels},
                                 {"t10k-images-idx3-ubyte", images, sizeof images},
                                 {"t10k-labels-idx1-ubyte", labels, sizeof labels}};
    const struct file labels_first[] = {files[1], files[0], files[2], files[3]};
    const struct file zip_first[] = {
        {"t10k-images-idx3-ubyte.gz", zipped, compress_gzip(images, sizeof images, zipped, sizeof zipped)},
        files[0],
        files[1],
        files[3]};
    fuzz_source(files, 4, 400);
    fuzz_source(labels_first, 4, 200);
    fuzz_source(zip_first, 4, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_jpeg),    cmocka_unit_test(test_cifar10),
                                       cmocka_unit_test(test_pickles), cmocka_unit_test(test_csv),
                                       cmocka_unit_test(test_npz),     cmocka_unit_test(test_idx)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
