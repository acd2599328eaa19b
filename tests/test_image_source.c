/* Readers of folders of images: what is recognised, in which order, what is refused and with which words. */
#define _GNU_SOURCE
#include "formats/datasets/file_name.h"
#include "formats/datasets/image_source.h"
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

#include <cmocka.h>

static const struct image_reading reading = {0};

/* ---- ImageFolder ---- */

static void test_imagefolder(void **state)
{
    const char *folder = *state;
    struct image_source source;
    char left_out[256];
    photo(folder, "train/b/2.jpg");
    photo(folder, "train/b/10.JPEG");
    photo(folder, "train/a.b/x.jpeg");
    photo(folder, "train/a/z.jpg");
    photo(folder, "train/a/part/y.JPG");
    photo(folder, "train/a/part.jpg"); /* '.' comes before '/' */
    write_file(folder, "train/a/notes.txt", "x", 1);
    write_file(folder, "train/readme", "x", 1);
    write_file(folder, "train/.hidden/file.jpg", "x", 1);
    photo(folder, "valid/b/1.jpg");
    photo(folder, "test/9.jpg");
    photo(folder, "test/10.jpg");
    open_source(&source, folder);
    assert_string_equal(source.format, "ImageFolder");
    assert_int_equal(source.class_count, 3);
    assert_string_equal(source.classes[0], "a");
    assert_string_equal(source.classes[1], "a.b");
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 6);
    expect_sample(&source, SPLIT_TRAIN, 0, "train/a/part.jpg", 0);
    expect_sample(&source, SPLIT_TRAIN, 1, "train/a/part/y.JPG", 0);
    expect_sample(&source, SPLIT_TRAIN, 2, "train/a/z.jpg", 0);
    expect_sample(&source, SPLIT_TRAIN, 3, "train/a.b/x.jpeg", 1);
    expect_sample(&source, SPLIT_TRAIN, 4, "train/b/10.JPEG", 2);
    expect_sample(&source, SPLIT_TRAIN, 5, "train/b/2.jpg", 2);
    assert_int_equal(source.sets[SPLIT_VAL].count, 1);
    expect_sample(&source, SPLIT_VAL, 0, "valid/b/1.jpg", 2);
    assert_int_equal(source.sets[SPLIT_TEST].count, 2);
    expect_sample(&source, SPLIT_TEST, 0, "test/10.jpg", -1);
    image_source_describe_left_out(&source, left_out, sizeof left_out);
    assert_string_equal(left_out, "1 hidden, 1 .txt, 1 without ending");

    struct error err = {0};
    struct image image;
    uint8_t *bytes;
    size_t size;
    assert_int_equal(image_source_read(&source, SPLIT_VAL, 0, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(image_decode(&(struct image_coding){.encoding = source.encoding}, bytes, size, "x", &image, &err),
                     STATUS_OK);
    assert_int_equal(image.h, 8);
    image_release(&image);
    free(bytes);
    image_source_release(&source);
}

static void test_many_samples(void **state)
{
    const char *folder = *state;
    struct image_source source;
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/class/%03d.jpg", i);
        write_file(folder, name, "x", 1);
    }
    photo(folder, "val/class/0.jpg");
    open_source(&source, folder);
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 300);
    expect_sample(&source, SPLIT_TRAIN, 257, "train/class/257.jpg", 0);
    image_source_release(&source);
}

static void test_imagefolder_refusals(void **state)
{
    const char *folder = *state;
    char long_name[300] = "train/a/";
    static const char heic[] = "\0\0\0\x18"
                               "ftypheic\0\0\0\0mif1heic";
    expect_refusal("/nonexistent/data", STATUS_NO_INPUT, "cannot open");
    expect_refusal(folder, STATUS_NO_INPUT, "empty");
    photo(folder, "a/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "no train/ folder (found: 1 folder (a))");
    remove_folder(folder);
    write_file(folder, "unknown.bin", "x", 1);
    expect_refusal(folder, STATUS_BAD_DATA, "CIFAR-10 and CIFAR-100, binary or Python");
    photo(folder, "train/a/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "no val/");
    photo(folder, "val/b/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "val/b: this class has no folder in the training split");
    photo(folder, "train/b/1.jpg");
    write_file(folder, "train/c/1.svg", "x", 1);
    write_file(folder, "train/c/2.svg", "x", 1);
    write_file(folder, "train/c/3.heic", heic, sizeof heic - 1);
    expect_refusal(folder, STATUS_BAD_DATA,
                   "left out so far: 1 .bin, 2 .svg, 1 HEIC (not read: convert to JPEG or PNG)");
    photo(folder, "train/c/1.jpg");
    photo(folder, "train/loose.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "loose.jpg is beside the class folders");
    char *loose = path_join(folder, "train/loose.jpg");
    unlink(loose);
    free(loose);
    photo(folder, "validation/a/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "has both val/ and validation/");
    char *both = path_join(folder, "validation");
    remove_folder(both);
    free(both);
    photo(folder, "train/a/deep/er/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "one folder deeper");
    char *deep = path_join(folder, "train/a/deep");
    remove_folder(deep);
    free(deep);
    memset(long_name + strlen(long_name), 'n', 244);
    strcat(long_name, ".jpg");
    assert_int_equal(strlen(long_name), 256);
    photo(folder, long_name);
    expect_refusal(folder, STATUS_BAD_DATA, "more than 255 bytes");
}

/* Files are taken by their content: a PNG that is called .jpg, a photo without an ending, and what has the name of a
 * photo but is none, which the scan then finds. */
static void test_content_decides(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct image_scan scan;
    struct error err = {0};
    uint8_t *png, *gif;
    size_t png_size, gif_size;
    char left_out[256];
    file_read("tests/golden/image_files/png-type2-8bit.png", 1 << 20, &png, &png_size, &err);
    file_read("tests/golden/image_files/gif-transparent.gif", 1 << 20, &gif, &gif_size, &err);
    assert_int_equal(err.code, STATUS_OK);
    photo(folder, "train/a/1.jpg");
    photo(folder, "val/a/photo");
    open_source(&source, folder);
    assert_int_equal(source.encoding, IMAGE_JPEG);
    image_source_release(&source);
    write_file(folder, "train/a/2.jpg", png, png_size);
    write_file(folder, "train/a/3.data", gif, gif_size);
    write_file(folder, "train/a/4.JPG", "<html>not found</html>", 22);
    write_file(folder, "train/a/Thumbs.db", "x", 1);
    write_file(folder, "train/a/.DS_Store", "x", 1);
    write_file(folder, "labels.csv", "x", 1);
    photo(folder, "unlabeled/1.jpg");
    open_source(&source, folder);
    assert_int_equal(source.encoding, IMAGE_FILES);
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 4);
    assert_int_equal(source.sets[SPLIT_VAL].count, 1);
    image_source_describe_left_out(&source, left_out, sizeof left_out);
    assert_string_equal(left_out, "1 .csv, folder unlabeled/, 1 hidden, 1 .db");
    assert_int_equal(image_source_scan(&source, &reading, 1, NULL, NULL, &scan, &err), STATUS_OK);
    assert_int_equal(scan.problem_count, 1);
    assert_int_equal(scan.problems[0].index, 3);
    assert_non_null(strstr(scan.problems[0].reason, "is a HTML file, which is not read"));
    assert_int_equal(scan.alpha, 1);
    image_scan_release(&scan);
    image_source_release(&source);
    free(png);
    free(gif);
}

/* Names and classes that are not UTF-8 are escaped, in the order that they have on the disk, and files are found. */
static void test_names_not_utf8(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    photo(folder, "train/caf\xe9/1.jpg");
    photo(folder, "train/d\xc3\xa9j\xc3\xa0/\xff\xfe\\x41.jpg");
    photo(folder, "train/zoo/1.jpg");
    photo(folder, "val/caf\xe9/\xe9.jpg");
    open_source(&source, folder);
    assert_int_equal(source.class_count, 3);
    assert_string_equal(source.classes[0], "caf\\xe9");
    assert_string_equal(source.classes[1], "d\xc3\xa9j\xc3\xa0");
    expect_sample(&source, SPLIT_TRAIN, 1, "train/d\xc3\xa9j\xc3\xa0/\\xff\\xfe\\x5cx41.jpg", 1);
    expect_sample(&source, SPLIT_VAL, 0, "val/caf\\xe9/\\xe9.jpg", 0);
    for (int split = 0; split < 2; split++)
        for (size_t i = 0; i < source.sets[split].count; i++) {
            assert_int_equal(image_source_read(&source, (enum split)split, i, &bytes, &size, &err), STATUS_OK);
            free(bytes);
        }
    image_source_release(&source);
}

static void test_escapes(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"plain.jpg", "plain.jpg"},
        {"\xe4\xb8\xad\xf0\x9f\x98\x80", "\xe4\xb8\xad\xf0\x9f\x98\x80"}, /* valid, 3 and 4 bytes */
        {"back\\slash\\x", "back\\slash\\x"},
        {"\\x41", "\\x5cx41"},
        {"\\\xe9", "\\\\xe9"},
        {"\xc3", "\\xc3"},                   /* cut */
        {"\xc0\xaf", "\\xc0\\xaf"},          /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = file_name_escape(names[i][0]), *back = file_name_unescape(text);
        assert_string_equal(text, names[i][1]);
        assert_string_equal(back, names[i][0]);
        free(text);
        free(back);
    }
}

/* A pipe that is called x.jpg must not block, and a broken link must be reported. */
static void test_not_regular(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    photo(folder, "train/a/1.jpg");
    photo(folder, "val/a/1.jpg");
    char *pipe_path = path_join(folder, "train/a/2.jpg"), *link_path = path_join(folder, "train/a/3.jpg");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(symlink("nowhere", link_path), 0);
    open_source(&source, folder);
    for (size_t i = 1; i < 3; i++) {
        err = (struct error){0};
        assert_int_equal(image_source_read(&source, SPLIT_TRAIN, i, &bytes, &size, &err), STATUS_NO_INPUT);
    }
    image_source_release(&source);
    free(pipe_path);
    free(link_path);
}

/* A folder of another user beside the data set is none of our business. */
static void test_private_neighbour(void **state)
{
    const char *folder = *state;
    struct image_source source;
    char *private = path_join(folder, "lost+found");
    write_image_folder(folder, "set/train", 2, 3, 8, 8);
    write_image_folder(folder, "set/val", 2, 1, 8, 8);
    assert_int_equal(mkdir(private, 0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    const bool root = geteuid() == 0; /* who may look anywhere */
    if (root)
        assert_int_equal(seteuid(65534), 0);
    open_source(&source, folder);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 6);
    image_source_release(&source);
    free(private);
}

/* ---- layouts that people have ---- */

static void expect_note(const struct image_source *source, const char *words)
{
    for (int i = 0; i < source->note_count; i++)
        if (strstr(source->notes[i], words))
            return;
    fail_msg("no note has '%s'", words);
}

static void test_capitals_and_deeper(void **state)
{
    const char *folder = *state;
    struct image_source source;
    photo(folder, "archive/Train/a/1.jpg");
    photo(folder, "archive/Train/b/1.jpg");
    photo(folder, "archive/VALID/a/1.jpg");
    photo(folder, "__MACOSX/x.jpg");
    write_file(folder, "readme.txt", "x", 1);
    open_source(&source, folder);
    expect_note(&source, "one folder deeper, in ");
    expect_sample(&source, SPLIT_TRAIN, 1, "Train/b/1.jpg", 1);
    expect_sample(&source, SPLIT_VAL, 0, "VALID/a/1.jpg", 0);
    image_source_release(&source);
    photo(folder, "archive/train/a/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "has both Train/ and train/");
    photo(folder, "other/train/a/1.jpg"); /* two data sets: which one? */
    expect_refusal(folder, STATUS_BAD_DATA, "has 2 folders that are data sets, such as ");
}

/* Food-11 of 2021: training/labeled and training/unlabeled; the test split has one folder for all. */
static void test_labelled(void **state)
{
    const char *folder = *state;
    struct image_source source;
    char left_out[256];
    photo(folder, "training/labeled/00/1.jpg");
    photo(folder, "training/labeled/01/1.jpg");
    photo(folder, "training/unlabeled/00/1.jpg");
    photo(folder, "validation/01/1.jpg");
    photo(folder, "testing/00/0000.jpg");
    photo(folder, "testing/00/0001.jpg");
    open_source(&source, folder);
    assert_int_equal(source.class_count, 2);
    expect_sample(&source, SPLIT_TRAIN, 1, "training/labeled/01/1.jpg", 1);
    expect_sample(&source, SPLIT_VAL, 0, "validation/01/1.jpg", 1);
    expect_sample(&source, SPLIT_TEST, 1, "testing/00/0001.jpg", -1);
    expect_note(&source, "testing/00 is the only folder of the test split");
    image_source_describe_left_out(&source, left_out, sizeof left_out);
    assert_string_equal(left_out, "folder training/unlabeled/");
    image_source_release(&source);
}

static void test_named_files(void **state)
{
    const char *folder = *state;
    struct image_source source;
    photo(folder, "train/dog.1.jpg");
    photo(folder, "train/cat.10.jpg");
    photo(folder, "train/cat.2.jpg");
    photo(folder, "train/Great_Dane_7.jpg");
    photo(folder, "val/dog.2.jpg");
    photo(folder, "test1/1.jpg");
    open_source(&source, folder);
    assert_string_equal(source.format, "Named files");
    assert_int_equal(source.class_count, 3);
    assert_string_equal(source.classes[0], "Great_Dane");
    expect_sample(&source, SPLIT_TRAIN, 1, "train/cat.10.jpg", 1);
    expect_sample(&source, SPLIT_TRAIN, 3, "train/dog.1.jpg", 2);
    expect_sample(&source, SPLIT_VAL, 0, "val/dog.2.jpg", 2);
    expect_sample(&source, SPLIT_TEST, 0, "test1/1.jpg", -1);
    image_source_release(&source);
    photo(folder, "val/bird.2.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "val/bird.2.jpg: names are CLASS.NUMBER.jpg here");
    remove_folder(folder);
    photo(folder, "train/IMG_0001.jpg"); /* no class */
    photo(folder, "train/IMG_0002.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "IMG_0001.jpg is beside the class folders");
}

static void open_with(struct image_source *source, const char *folder, const char *val_from, uint64_t seed)
{
    struct error err = {0};
    const struct image_source_options options = {val_from, seed};
    if (image_source_open(source, folder, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void expect_refusal_with(const char *folder, const char *val_from, enum status status, const char *words)
{
    struct image_source source;
    struct error err = {0};
    const struct image_source_options options = {val_from, 1};
    assert_int_equal(image_source_open(&source, folder, &options, &err), status);
    if (!strstr(err.message, words))
        fail_msg("the message has no '%s': %s", words, err.message);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    write_file(folder, name, text, strlen(text));
}

static void test_csv(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    photo(folder, "images/a,1.jpg");
    photo(folder, "images/b\"2.jpg");
    photo(folder, "images/3.jpg");
    write_text(folder, "list.csv",
               "\xEF\xBB\xBFid,Image,label,split\r\n1,\"images/a,1.jpg\",dog,train\r\n\r\n2,\"./images/"
               "b\"\"2.jpg\",cat,VALID\r\n"
               "3,images/3.jpg,,test");
    open_source(&source, folder);
    assert_string_equal(source.format, "CSV");
    assert_int_equal(source.class_count, 2);
    assert_string_equal(source.classes[0], "cat");
    expect_sample(&source, SPLIT_TRAIN, 0, "images/a,1.jpg", 1);
    expect_sample(&source, SPLIT_VAL, 0, "images/b\"2.jpg", 0);
    expect_sample(&source, SPLIT_TEST, 0, "images/3.jpg", -1);
    expect_note(&source, "3 images are listed in ");
    assert_int_equal(image_source_read(&source, SPLIT_VAL, 0, &bytes, &size, &err), STATUS_OK);
    free(bytes);
    image_source_release(&source);

    char *path = path_join(folder, "other.csv"); /* two lists: which one is said by its name */
    write_text(folder, "other.csv", "path;class\nimages/3.jpg;10\nimages/a,1.jpg;2\nimages/none.jpg;2\n");
    expect_refusal(folder, STATUS_BAD_DATA, "(found: 1 folder (images) and 2 files (list.csv, other.csv))");
    expect_refusal(path, STATUS_BAD_DATA, "has no val/ folder to evaluate on (found: 3 training images)");
    struct image_source_options options = {.val_from = "train:0.5", .seed = 1};
    assert_int_equal(image_source_open(&source, path, &options, &err), STATUS_OK);
    assert_int_equal(source.class_count, 11);
    expect_sample(&source, SPLIT_TRAIN, 0, "images/3.jpg", 10);
    expect_note(&source, "labels are the numbers of the classes");
    image_source_release(&source);

    static const char *const wrong[][2] = {
        {"a,b\n1,2\n", "the first line must name the columns"},
        {"path,label\nimages/3.jpg\n", "line 2 has 1 columns"},
        {"path,label\n/etc/passwd,1\n", "line 2: '/etc/passwd' must be a path below"},
        {"path,label\nx/../../y.jpg,1\n", "without .."},
        {"path,label\nimages/3.jpg,\n", "line 2: no label"},
        {"path,label,split\nimages/3.jpg,1,dev\n", "line 2: the split is 'dev'"},
        {"path,label\na.jpg,1\n\nb.jpg,1\na.jpg,2\n", "line 5: a.jpg stands in line 2 already"},
        {"path,label\n\"a.jpg,1\n", "a quote is not closed"},
        {"path,label\n", "has 0 classes"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(folder, "other.csv", wrong[i][0]);
        expect_refusal(path, STATUS_BAD_DATA, wrong[i][1]);
    }
    free(path);
}

/* A share of every class; the same for the same seed; nothing is lost or twice, and every image is read as its own. */
static void test_val_from_train(void **state)
{
    const char *folder = *state;
    struct image_source source, again;
    int per_class[2][3] = {{0}}, different = 0;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < (c == 2 ? 1 : 20 + 8 * c); i++) {
            char name[64];
            snprintf(name, sizeof name, "train/c%d/%02d.jpg", c, i);
            photo(folder, name);
        }
    photo(folder, "test/c0/1.jpg");
    photo(folder, "test/c1/1.jpg");
    expect_refusal(folder, STATUS_BAD_DATA,
                   "(found: 49 training images and 2 test images with labels): pass --val-from train:0.1");
    expect_refusal_with(folder, "train:1", STATUS_USAGE, "a share between 0 and 1");
    expect_refusal_with(folder, "train", STATUS_USAGE, "a share between 0 and 1");
    open_with(&source, folder, "train:0.2", 1);
    assert_int_equal(source.sets[SPLIT_TRAIN].count + source.sets[SPLIT_VAL].count, 49);
    for (int split = 0; split < 2; split++)
        for (size_t i = 0; i < source.sets[split].count; i++) {
            const struct image_sample *sample = &source.sets[split].samples[i];
            assert_true(i == 0 || strcmp(sample[-1].name, sample->name) < 0);
            assert_int_equal(sample->name[7] - '0', sample->label);
            per_class[split][sample->label]++;
        }
    assert_true(per_class[1][0] == 4 && per_class[1][1] == 6 && per_class[1][2] == 0);
    assert_true(per_class[0][0] == 16 && per_class[0][1] == 22 && per_class[0][2] == 1);
    open_with(&again, folder, "train:0.2", 1);
    for (size_t i = 0; i < 10; i++)
        assert_string_equal(again.sets[SPLIT_VAL].samples[i].name, source.sets[SPLIT_VAL].samples[i].name);
    image_source_release(&again);
    open_with(&again, folder, "train:0.2", 2);
    for (size_t i = 0; i < 10; i++)
        different += strcmp(again.sets[SPLIT_VAL].samples[i].name, source.sets[SPLIT_VAL].samples[i].name) != 0;
    assert_true(different > 0);
    image_source_release(&again);
    image_source_release(&source);
    open_with(&source, folder, "test", 1);
    assert_int_equal(source.sets[SPLIT_VAL].count, 2);
    assert_int_equal(source.sets[SPLIT_TEST].count, 0);
    image_source_release(&source);
    photo(folder, "val/c0/1.jpg");
    expect_refusal_with(folder, "test", STATUS_USAGE, "has 1 images to evaluate on already");
}

/* ---- Food-11 ---- */

static void test_food11(void **state)
{
    const char *folder = *state;
    struct image_source source;
    photo(folder, "training/0_0.jpg");
    photo(folder, "training/10_3.jpg");
    photo(folder, "training/2_17.jpg");
    photo(folder, "validation/5_0.jpg");
    photo(folder, "evaluation/0001.jpg");
    photo(folder, "evaluation/3_1.jpg");
    open_source(&source, folder);
    assert_string_equal(source.format, "Food-11");
    assert_int_equal(source.class_count, 11);
    assert_string_equal(source.classes[6], "Noodles/Pasta");
    assert_int_equal(source.sets[SPLIT_TRAIN].count, 3);
    expect_sample(&source, SPLIT_TRAIN, 0, "training/0_0.jpg", 0);
    expect_sample(&source, SPLIT_TRAIN, 1, "training/10_3.jpg", 10);
    expect_sample(&source, SPLIT_TRAIN, 2, "training/2_17.jpg", 2);
    expect_sample(&source, SPLIT_VAL, 0, "validation/5_0.jpg", 5);
    expect_sample(&source, SPLIT_TEST, 0, "evaluation/0001.jpg", -1);
    expect_sample(&source, SPLIT_TEST, 1, "evaluation/3_1.jpg", 3);
    image_source_release(&source);
    photo(folder, "training/11_0.jpg");
    expect_refusal(folder, STATUS_BAD_DATA, "training/11_0.jpg: names in Food-11");
}

static void test_food11_by_class_folder(void **state)
{
    const char *folder = *state;
    struct image_source source;
    photo(folder, "training/Bread/0_0.jpg");
    photo(folder, "validation/Bread/0_1.jpg");
    open_source(&source, folder);
    assert_string_equal(source.format, "ImageFolder");
    assert_int_equal(source.class_count, 1);
    image_source_release(&source);
}
int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(test_imagefolder),           IN_FOLDER(test_many_samples),
                                       IN_FOLDER(test_imagefolder_refusals),  IN_FOLDER(test_private_neighbour),
                                       IN_FOLDER(test_capitals_and_deeper),   IN_FOLDER(test_labelled),
                                       IN_FOLDER(test_named_files),           IN_FOLDER(test_csv),
                                       IN_FOLDER(test_val_from_train),        IN_FOLDER(test_content_decides),
                                       IN_FOLDER(test_names_not_utf8),        cmocka_unit_test(test_escapes),
                                       IN_FOLDER(test_not_regular),           IN_FOLDER(test_food11),
                                       IN_FOLDER(test_food11_by_class_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
