/* Data sets of every layout with one thing changed: a file is missing, empty, cut, a folder, a broken link, has another
 * name or other bytes. What comes out is a data set whose samples can be asked for, or an error that says something. */
#define _GNU_SOURCE
#include "formats/datasets/class_order.h"
#include "formats/datasets/image_source.h"
#include "formats/datasets/pickle.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *root;
static uint8_t *photo_bytes;
static size_t photo_size;
static int opened, refused;

/* ---- layouts ---- */

enum { MAX_FILES = 12, RECORD = 3073, RECORD_100 = 3074, ITEMS = 4, SIDE = 2 };

/* A file of a data set: its bytes, or those of a file of this repository; a photo if it has neither. */
struct file {
    const char *name, *bytes;
    size_t size;
    const char *golden;
};
struct layout {
    const char *name;
    struct file files[MAX_FILES];
};

static char names100[100 * 4], record10[2 * RECORD] = {3}, record100[2 * RECORD_100] = {1, 3};
static const char images[16 + ITEMS * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, ITEMS, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
static const char labels[8 + ITEMS] = {0, 0, 8, 1, 0, 0, 0, ITEMS, 0, 1, 2, 1};
static const char names10[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
static const char list[] = "path,label,split\n\"a.jpg\",cat,train\nb.jpg,dog,train\nc.jpg,cat,val\nd.jpg,,test\n";

#define TEXT(text) text, sizeof text - 1
#define ALL(bytes) bytes, sizeof bytes
#define PICKLES "tests/golden/cifar_python/"
static const struct layout layouts[] = {
    {"folders",
     {{"train/a/1.jpg"},
      {"train/b/1.jpg"},
      {"train/b/deep/2.jpg"},
      {"val/a/1.jpg"},
      {"val/b/1.jpg"},
      {"test/1.jpg"},
      {"train/a/notes.txt", TEXT("x")},
      {"train/a/x.verylongending", TEXT("x")},
      {"train/a/dot.", TEXT("x")}}},
    {"labelled",
     {{"training/labeled/00/1.jpg"}, {"training/labeled/01/1.jpg"}, {"validation/01/1.jpg"}, {"testing/00/0000.jpg"}}},
    {"food",
     {{"training/0_0.jpg"},
      {"training/10_1.jpg"},
      {"validation/0_1.jpg"},
      {"evaluation/1_1.jpg"},
      {"evaluation/photo.jpg"},
      {"training/notes.txt", TEXT("x")}}},
    {"food, another name", {{"training/0_0.jpg"}, {"training/11_1.jpg"}, {"validation/0_1.jpg"}}},
    {"food, no number",
     {{"training/0_0.jpg"},
      {"training/0_.jpg"},
      {"validation/12345_1.jpg"},
      {"validation/1-1.jpg"},
      {"validation/1_1jpg"}}},
    {"named",
     {{"train/cat.1.jpg"}, {"train/dog.1.jpg"}, {"train/Great_Dane_2.jpg"}, {"val/cat.2.jpg"}, {"test/1.jpg"}}},
    {"named, oddly", {{"train/cat.1.jpg"}, {"train/1.jpg"}, {"train/_1.jpg"}, {"train/--7.jpg"}, {"val/cat.2.jpg"}}},
    {"named, by numbers", {{"train/_1.jpg"}, {"train/--7.jpg"}, {"val/_2.jpg"}}},
    {"named without numbers, so none", {{"train/cat.jpg"}, {"train/dog.jpg"}, {"val/cat.jpg"}}},
    {"csv", {{"list.csv", TEXT(list)}, {"a.jpg"}, {"b.jpg"}, {"c.jpg"}, {"d.jpg"}}},
    {"idx",
     {{"train-images-idx3-ubyte", ALL(images)},
      {"train-labels-idx1-ubyte", ALL(labels)},
      {"t10k-images-idx3-ubyte", ALL(images)},
      {"t10k-labels-idx1-ubyte", ALL(labels)}}},
    {"cifar10",
     {{"batches.meta.txt", TEXT(names10)}, {"data_batch_1.bin", ALL(record10)}, {"test_batch.bin", ALL(record10)}}},
    {"cifar100",
     {{"fine_label_names.txt", ALL(names100)}, {"train.bin", ALL(record100)}, {"test.bin", ALL(record100)}}},
    {"python10",
     {{"batches.meta", .golden = PICKLES "published10/batches.meta"},
      {"data_batch_1", .golden = PICKLES "published10/data_batch_1"},
      {"test_batch", .golden = PICKLES "published10/test_batch"}}},
    {"python100",
     {{"meta", .golden = PICKLES "protocol5/meta"},
      {"train", .golden = PICKLES "protocol5/train"},
      {"test", .golden = PICKLES "protocol5/test"}}},
    {"python100-4",
     {{"meta", .golden = PICKLES "protocol4/meta"},
      {"train", .golden = PICKLES "protocol4/train"},
      {"test", .golden = PICKLES "protocol4/test"}}},
    {"npz", {{"data.npz", .golden = "tests/golden/npz/keras.npz"}}},
    {"medmnist", {{"data.npz", .golden = "tests/golden/npz/medmnist.npz"}}},
    {"planes", {{"data.npz", .golden = "tests/golden/npz/planes.npz"}}},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts, IDX = 10 };

static void file_bytes(const struct file *file, uint8_t **bytes, size_t *size)
{
    if (file->golden) {
        assert_int_equal(file_read(file->golden, 1 << 20, bytes, size, NULL), STATUS_OK);
        return;
    }
    *size = file->bytes ? file->size : photo_size;
    *bytes = malloc(*size + 1);
    assert_non_null(*bytes);
    memcpy(*bytes, file->bytes ? (const uint8_t *)file->bytes : photo_bytes, *size);
}

static void make_file(const char *folder, const struct file *file)
{
    uint8_t *bytes;
    size_t size;
    file_bytes(file, &bytes, &size);
    write_file(folder, file->name, bytes, size);
    free(bytes);
}

static char *make_layout(const struct layout *layout)
{
    char *folder = path_join(root, layout->name);
    remove_folder(folder);
    for (int i = 0; i < MAX_FILES && layout->files[i].name; i++)
        make_file(folder, &layout->files[i]);
    return folder;
}

/* ---- opening ---- */

static void open_as(const char *folder, const char *val_from, const char *what)
{
    struct image_source source;
    struct error err = {0};
    char text[64];
    const struct image_source_options options = {.val_from = val_from, .seed = 1};
    const enum status status = image_source_open(&source, folder, &options, &err);
    const bool known = status == STATUS_OK || status == STATUS_BAD_DATA || status == STATUS_NO_INPUT ||
                       (status == STATUS_USAGE && val_from);
    if (!known || (status != STATUS_OK && strlen(err.message) < 5))
        fail_msg("%s: %s: status %d, '%s'", folder, what, (int)status, err.message);
    refused += status != STATUS_OK;
    if (status != STATUS_OK)
        return;
    opened++;
    assert_true(source.sets[SPLIT_TRAIN].count > 0 && source.class_count > 0);
    image_source_describe_left_out(&source, text, sizeof text);
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (size_t i = 0; i < source.sets[split].count && i < 8; i++) {
            const int label = source.sets[split].samples[i].label;
            uint8_t *sample;
            size_t size;
            if (label < (split == SPLIT_TEST ? -1 : 0) || label >= source.class_count)
                fail_msg("%s: %s: a label of %d", folder, what, label);
            if (image_source_read(&source, (enum split)split, i, &sample, &size, NULL) == STATUS_OK)
                free(sample);
        }
    image_source_release(&source);
}

static void open_set(const char *folder, const char *what)
{
    open_as(folder, NULL, what);
    open_as(folder, "train:0.5", what);
}

/* ---- files ---- */

static void change_file(const char *folder, const struct file *file)
{
    char path[1024], other[256];
    uint8_t *bytes;
    size_t size;
    file_bytes(file, &bytes, &size);
    snprintf(path, sizeof path, "%s/%s", folder, file->name);
    assert_int_equal(unlink(path), 0);
    open_set(folder, "missing");
    assert_int_equal(mkdir(path, 0700), 0);
    open_set(folder, "a folder");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    open_set(folder, "a broken link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    open_set(folder, "a pipe");
    assert_int_equal(unlink(path), 0);
    const size_t cuts[] = {0, 1, 2, 3, 7, 8, 15, 16, size / 2, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        if (cuts[i] < size) {
            write_file(folder, file->name, bytes, cuts[i]);
            open_set(folder, "cut");
        }
    static const char *const names[] = {"%s.txt", "%s.gz", "%s.bin", "%s.jpg", "%s.1.jpg", "%s.csv", "%s.npz", ".%s"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) { /* another name, beside it and instead of it */
        const char *leaf = strrchr(file->name, '/');
        char name[128];
        leaf = leaf ? leaf + 1 : file->name;
        snprintf(name, sizeof name, names[i], leaf);
        snprintf(other, sizeof other, "%.*s%s", (int)(leaf - file->name), file->name, name);
        write_file(folder, file->name, bytes, size);
        write_file(folder, other, bytes, size);
        open_set(folder, "twice");
        assert_int_equal(unlink(path), 0);
        open_set(folder, "renamed");
        snprintf(path, sizeof path, "%s/%s", folder, other);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/%s", folder, file->name);
    }
    write_file(folder, file->name, bytes, size);
    free(bytes);
}

static void files_are_changed(void **state)
{
    (void)state;
    static const char *const choices[] = {"test",    "train:0.1",  "train:1e-9", "train:0.999", "train:0", "train:1",
                                          "train:x", "train:0.5x", "train",      "val",         ""};
    for (int i = 0; i < LAYOUTS; i++) {
        char *folder = make_layout(&layouts[i]);
        const int before = opened;
        open_as(folder, NULL, "whole");
        open_as(folder, "train:0.5", "whole");
        if (opened == before && !strchr(layouts[i].name, ','))
            fail_msg("%s is not read", layouts[i].name);
        for (size_t k = 0; k < sizeof choices / sizeof *choices; k++)
            open_as(folder, choices[k], choices[k]);
        for (int k = 0; k < MAX_FILES && layouts[i].files[k].name; k++)
            change_file(folder, &layouts[i].files[k]);
        /* all of it one folder deeper, beside another one */
        char deeper[512], *outer = path_join(root, "outer");
        remove_folder(outer);
        snprintf(deeper, sizeof deeper, "%s/inner", outer);
        write_file(outer, "readme.md", "x", 1);
        assert_int_equal(rename(folder, deeper), 0);
        open_set(outer, "deeper");
        write_file(outer, "other/x.txt", "x", 1);
        open_set(outer, "deeper, beside another folder");
        remove_folder(outer);
        free(outer);
        free(folder);
    }
    print_message("%d opened, %d refused\n", opened, refused);
    assert_true(opened > 200 && refused > 200);
}

/* ---- bytes ---- */

/* Every byte of a file's ends is another one; the file is cut everywhere there. */
static void change_bytes(const char *folder, const struct file *file)
{
    enum { END = 150 };
    static const uint8_t others[] = {0,   1,   '\n', '"', ',', '.', '/', '9', 0x7F, 0x80, 0xFF, '(',  ')',  ']',
                                     '}', 'N', 'K',  'U', 't', 'e', 'u', 'a', 's',  'R',  'b',  0x85, 0x86, 0x94};
    uint8_t *bytes;
    size_t size;
    file_bytes(file, &bytes, &size);
    for (size_t at = 0; at < size; at++) {
        const uint8_t own = bytes[at];
        if (at == END && size > 2 * END)
            at = size - END;
        for (size_t k = 0; k < sizeof others; k++) {
            bytes[at] = others[k];
            write_file(folder, file->name, bytes, size);
            open_as(folder, NULL, "a byte is another one");
        }
        bytes[at] = own;
        write_file(folder, file->name, bytes, at);
        open_as(folder, NULL, "cut");
    }
    write_file(folder, file->name, bytes, size);
    free(bytes);
}

static void bytes_are_changed(void **state)
{
    (void)state;
    for (int i = 0; i < LAYOUTS; i++) {
        char *folder = make_layout(&layouts[i]);
        for (int k = 0; k < 2 && layouts[i].files[k].name; k++)
            if ((layouts[i].files[k].bytes && layouts[i].files[k].size > 1) || layouts[i].files[k].golden)
                change_bytes(folder, &layouts[i].files[k]);
        free(folder);
    }
}

/* ---- lists ---- */

static void lists_of_images(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "path,label\na.jpg,cat\nb.jpg,dog\n",
        "path;label\r\na.jpg;cat\r\n\r\nb.jpg;dog\r\n",
        "path\tlabel\tsplit\na.jpg\tcat\ttrain\nb.jpg\tcat\tval\n",
        "\xEF\xBB\xBFimage,class\na.jpg,1\nb.jpg,0\n",
        "file,category,split\na.jpg,00,train\nb.jpg,1,valid\n",
        "path,label\na.jpg,123456\nb.jpg,1\n",
        "path,label\na.jpg,99999\nb.jpg,1\n",
        "path,label\na.jpg,65536\nb.jpg,1\n",
        "path,label\na.jpg,5\nb.jpg,x\n",
        "path,label\na.jpg,\nb.jpg,x\n",
        "path,label,split\na.jpg,,train\n",
        "path,label,split\na.jpg,x,\nb.jpg,x,val\n",
        "path,label,split\na.jpg,x,nonsense\n",
        "path,label,split\na.jpg,x,val\n",
        "path,label,split\na.jpg,x,train\nb.jpg,y,val\n",
        "path,label,split\na.jpg,x,train\nb.jpg,3,test\n",
        "path,label,split\na.jpg,3,train\nb.jpg,,test\n",
        "path,label\n/etc/a.jpg,x\n",
        "path,label\n../a.jpg,x\n",
        "path,label\na/../../b.jpg,x\n",
        "path,label\n..,x\n",
        "path,label\n..a.jpg,x\n",
        "path,label\n./a.jpg,x\n",
        "path,label\n,x\n",
        "path,label\na.jpg\n",
        "path,label\na.jpg,x,y\n",
        "path,label\n\"a.jpg,x\n",
        "path,label\n\"a.jpg\"x,x\n",
        "path,label\n\"a\"\"b.jpg\",\"x\ny\"\n",
        "path,label\nnone.jpg,x\n",
        "path,label\na.jpg,x\na.jpg,x\n",
        "path,label\na.jpg,x\na.jpg,y\n",
        "path,path,label\na.jpg,a.jpg,x\n",
        "path,label,label\na.jpg,x,x\n",
        "path\na.jpg\n",
        "label\nx\n",
        "label,path\nx,a.jpg",
        "path,label\n",
        "path,label",
        "\n\n",
        "",
        "a,b,c\n1,2,3\n",
        "path,label\nlist.csv,x\n",
        "path,label\npicture.png,x\na.jpg,y\n",
        "path,label\npicture.png,x\n",
        "id,path,label,other\n1,a.jpg,x,z\n2,b.jpg,y,z\n",
        "PATH,Label,SPLIT\na.jpg,x,TRAIN\nb.jpg,x,Test\n",
    };
    static char many[1 << 16];
    char *folder = path_join(root, "lists"), *own = path_join(folder, "list.csv"),
         *other = path_join(folder, "more.csv");
    uint8_t *png;
    size_t png_size;
    assert_int_equal(file_read("tests/golden/image_files/png-type2-8bit.png", 1 << 20, &png, &png_size, NULL),
                     STATUS_OK);
    write_file(folder, "picture.png", png, png_size);
    write_file(folder, "a.jpg", photo_bytes, photo_size);
    write_file(folder, "b.jpg", photo_bytes, photo_size);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_file(folder, "list.csv", lists[i], strlen(lists[i]));
        open_set(folder, lists[i]);
        open_set(own, lists[i]); /* the list itself */
        write_file(folder, "more.csv", lists[(i + 1) % (sizeof lists / sizeof *lists)],
                   strlen(lists[(i + 1) % (sizeof lists / sizeof *lists)]));
        open_set(folder, "two lists");
        assert_int_equal(unlink(other), 0);
        assert_int_equal(rename(own, other), 0);
        open_set(folder, "another name");
        assert_int_equal(unlink(other), 0);
    }
    for (int columns = 60; columns < 70; columns++) {
        int used = sprintf(many, "path,label");
        for (int k = 2; k < columns; k++)
            used += sprintf(many + used, ",c%d", k);
        used += sprintf(many + used, "\na.jpg,x");
        for (int k = 2; k < columns; k++)
            used += sprintf(many + used, ",%d", k);
        write_file(folder, "list.tsv", many, (size_t)used);
        open_set(folder, "many columns");
    }
    int used = sprintf(many, "path,label\n");
    for (int k = 0; k < 1100; k++)
        used += sprintf(many + used, "a.jpg,c%d\n", k);
    write_file(folder, "list.tsv", many, (size_t)used);
    open_set(folder, "many classes");
    used = sprintf(many, "path,label\n%0300d.jpg,x\n", 0);
    write_file(folder, "list.tsv", many, (size_t)used);
    open_set(folder, "a long name");
    free(png);
    free(folder);
    free(own);
    free(other);
}

/* ---- IDX ---- */

/* Headers of sizes and types at their limits, with as many bytes as they say where these are few. */
static void headers_of_idx(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 4096, 4097, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    char *folder = make_layout(&layouts[IDX]);
    assert_string_equal(layouts[IDX].name, "idx");
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < COUNT * COUNT * COUNT; i++) {
            static uint8_t bytes[16 + 4 * 4096] = {0, 0, 8, 3};
            const uint32_t n[3] = {sizes[i % COUNT], sizes[i / COUNT % COUNT], sizes[i / COUNT / COUNT]};
            size_t count = 1;
            for (int k = 0; k < 3; k++) {
                for (int b = 0; b < 4; b++)
                    bytes[4 + 4 * k + b] = (uint8_t)(n[k] >> (24 - 8 * b));
                count = count > 1 << 20 || n[k] > 1 << 20 ? 1 << 21 : count * n[k];
            }
            write_file(folder, layouts[IDX].files[2 * which].name, bytes, 16 + (count > 4 * 4096 ? 64 : count));
            open_as(folder, NULL, "sizes");
        }
    free(folder);
}

/* ---- pickles ---- */

/* Every program of two opcodes behind each of some beginnings; of three behind the first. */
static void programs_of_pickle(void **state)
{
    (void)state;
#define OPCODE(text)          \
    {                         \
        text, sizeof text - 1 \
    }
    static const struct {
        const char *bytes;
        size_t size;
    } opcodes[] = {OPCODE("("),
                   OPCODE(")"),
                   OPCODE("]"),
                   OPCODE("}"),
                   OPCODE("N"),
                   OPCODE("K\1"),
                   OPCODE("M\1\0"),
                   OPCODE("J\377\377\377\377"),
                   OPCODE("\212\1\5"),
                   OPCODE("\212\0"),
                   OPCODE("\212\x09xxxxxxxxx"),
                   OPCODE("\212\2\1"),
                   OPCODE("C\1C"),
                   OPCODE("U\2u1"),
                   OPCODE("X\2\0\0\0u1"),
                   OPCODE("X\5\0\0\0numpy"),
                   OPCODE("t"),
                   OPCODE("e"),
                   OPCODE("u"),
                   OPCODE("a"),
                   OPCODE("s"),
                   OPCODE("q\0"),
                   OPCODE("h\0"),
                   OPCODE("h\1"),
                   OPCODE("j\0\0\0\0"),
                   OPCODE("r\0\0\0"),
                   OPCODE("\x94"),
                   OPCODE("cnumpy\ndtype\n"),
                   OPCODE("cnumpy.core.multiarray\n_reconstruct\n"),
                   OPCODE("cnumpy.core.numeric\n_frombuffer\n"),
                   OPCODE("cos\nsystem\n"),
                   OPCODE("c"),
                   OPCODE("R"),
                   OPCODE("b"),
                   OPCODE("\x93"),
                   OPCODE("\x85"),
                   OPCODE("\x86"),
                   OPCODE("\x87"),
                   OPCODE("I01\n"),
                   OPCODE("\x88"),
                   OPCODE("G"),
                   OPCODE("\x95\1\0\0\0\0\0\0\0"),
                   OPCODE("\x8c\5dtype")},
      beginnings[] = {
          OPCODE(""),
          OPCODE("\x80\2"),
          OPCODE("(KKKK"),
          OPCODE("]}(U\1aK\1"),
          OPCODE("cnumpy\ndtype\n(U\2u1K\0K\1tR"),
          OPCODE("cnumpy.core.numeric\n_frombuffer\n(C\4abcdcnumpy\ndtype\nU\2u1\x85RK\4\x85"),
          OPCODE("cnumpy.core.multiarray\n_reconstruct\n(NK\0\x85U\1btR(K\1K\4\205cnumpy\ndtype\nU\2u1\x85R"),
          OPCODE(
              "cnumpy.core.multiarray\n_reconstruct\n(NK\0\x85U\1btR(K\1K\4\205cnumpy\ndtype\nU\2u1\x85R\x89U\4abcd")};
#undef OPCODE
    enum { COUNT = sizeof opcodes / sizeof *opcodes, BEGINNINGS = sizeof beginnings / sizeof *beginnings };
    int made = 0;
    for (int b = 0; b < BEGINNINGS; b++)
        for (int i = 0; i < (b ? 1 : COUNT) * COUNT * COUNT; i++) {
            char program[256];
            size_t size = beginnings[b].size;
            struct arena arena = {0};
            const struct pickle_value *value = NULL;
            struct error err = {0};
            memcpy(program, beginnings[b].bytes, size);
            for (int k = 0, rest = i; k < (b ? 2 : 3); k++, rest /= COUNT) {
                const int op = rest % COUNT;
                memcpy(program + size, opcodes[op].bytes, opcodes[op].size);
                size += opcodes[op].size;
            }
            program[size++] = '.';
            const enum status status = pickle_parse((const uint8_t *)program, size, "program", &arena, &value, &err);
            if (status == STATUS_OK ? !value : status != STATUS_BAD_DATA || strlen(err.message) < 5)
                fail_msg("beginning %d, program %d: status %d, '%s'", b, i, (int)status, err.message);
            made += status == STATUS_OK;
            if (status == STATUS_OK)
                pickle_get(value, "a");
            arena_release(&arena);
        }
    assert_true(made > 1000);
}

/* ---- NPZ ---- */

enum { ARCHIVE = 1 << 16, ARRAYS = 4 };
struct array {
    const char *name, *type, *shape; /* "|u1", "(4, 2, 2)" */
    size_t bytes;
    int value; /* of every byte */
};

static void put_number(uint8_t *at, size_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* An archive of arrays that are not compressed. */
static size_t make_archive(uint8_t *out, const struct array *arrays, int count)
{
    size_t used = 0, directory;
    uint8_t entries[ARRAYS][128] = {{0}};
    size_t lengths[ARRAYS];
    for (int i = 0; i < count; i++) {
        char name[64], header[128];
        snprintf(name, sizeof name, "%s.npy", arrays[i].name);
        const size_t text =
            (size_t)snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n",
                             arrays[i].type, arrays[i].shape);
        const size_t length = strlen(name), size = 10 + text + arrays[i].bytes;
        uint8_t *local = out + used, *entry = entries[i];
        memset(local, 0, 30);
        memcpy(local, "PK\3\4", 4);
        put_number(local + 18, size, 4);
        put_number(local + 22, size, 4);
        put_number(local + 26, length, 2);
        memcpy(local + 30, name, length);
        memcpy(local + 30 + length, "\x93NUMPY\1\0", 8);
        put_number(local + 38 + length, text, 2);
        memcpy(local + 40 + length, header, text);
        memset(local + 40 + length + text, arrays[i].value, arrays[i].bytes);
        memcpy(entry, "PK\1\2", 4);
        put_number(entry + 20, size, 4);
        put_number(entry + 24, size, 4);
        put_number(entry + 28, length, 2);
        put_number(entry + 42, used, 4);
        memcpy(entry + 46, name, length);
        lengths[i] = 46 + length;
        used += 30 + length + size;
    }
    directory = used;
    for (int i = 0; i < count; i++) {
        memcpy(out + used, entries[i], lengths[i]);
        used += lengths[i];
    }
    memset(out + used, 0, 22);
    memcpy(out + used, "PK\5\6", 4);
    put_number(out + used + 8, (size_t)count, 2);
    put_number(out + used + 10, (size_t)count, 2);
    put_number(out + used + 12, used - directory, 4);
    put_number(out + used + 16, directory, 4);
    return used + 22;
}

/* Images and labels of every type and shape; a whole number of bytes is there as the shape says. */
static void arrays_of_npz(void **state)
{
    (void)state;
    static const struct {
        const char *type, *shape;
        size_t bytes;
    } forms[] =
        {{"|u1", "(4, 2, 2)", 16},       {"|u1", "(4, 2, 2, 1)", 16},    {"|u1", "(4, 2, 2, 3)", 48},
         {"|u1", "(4, 3, 2, 2)", 48},    {"|u1", "(4, 1, 2, 2)", 16},    {"|u1", "(4, 2, 2, 2)", 32},
         {"|u1", "(4, 3, 2, 1)", 24},    {"|u1", "(4, 1, 3, 3)", 36},    {"|u1", "(4, 0, 2)", 0},
         {"|u1", "(4, 2, 0)", 0},        {"|u1", "(4, 4097, 1)", 16388}, {"|u1", "(4, 1, 4097)", 16388},
         {"|u1", "(4, 4)", 16},          {"|u1", "(16,)", 16},           {"|u1", "()", 1},
         {"|u1", "(0, 2, 2)", 0},        {"<u2", "(4, 2, 2)", 32},       {"|i1", "(4, 2, 2)", 16},
         {"<f4", "(4, 2, 2)", 64},       {">u2", "(4, 2, 2)", 32},       {"|b1", "(4, 2, 2)", 16},
         {"<u9", "(4, 2, 2)", 144},      {"<u0", "(4, 2, 2)", 0},        {"|O8", "(4, 2, 2)", 128},
         {"|u1", "(4, 2, 2", 16},        {"|u1", "(4, x)", 16},          {"|u1", "(4, 2, 2, 1, 1, 1, 1, 1, 1)", 16},
         {"|u1", "(99999999999, 2)", 4}, {"|u1", "(4, 2, 2)", 15},       {"|u1", "(4, 2, 2)", 17}},
      lists[] = {{"|u1", "(4,)", 4},   {"|i1", "(4,)", 4},   {"<i8", "(4,)", 32},    {"<u8", "(4,)", 32},
                 {"<i2", "(4, 1)", 8}, {"|u1", "(4, 2)", 8}, {"|u1", "(3,)", 3},     {"|u1", "()", 1},
                 {"<f4", "(4,)", 16},  {"|b1", "(4,)", 4},   {"|u1", "(4, 1, 1)", 4}};
    enum { FORMS = sizeof forms / sizeof *forms, LISTS = sizeof lists / sizeof *lists };
    static uint8_t archive[ARCHIVE];
    static const int values[] = {0, 1, 0x7F, 0xFF};
    char *folder = path_join(root, "arrays");
    const int before = opened;
    for (int f = 0; f < FORMS; f++)
        for (int l = 0; l < LISTS; l++)
            for (int k = 0; k < 4; k++)
                for (int test = 0; test < 3; test++) {
                    const int other = test == 1 ? f : (f + 1) % FORMS;
                    const struct array arrays[ARRAYS] = {
                        {"x_train", forms[f].type, forms[f].shape, forms[f].bytes, k},
                        {"y_train", lists[l].type, lists[l].shape, lists[l].bytes, values[k]},
                        {"x_test", forms[other].type, forms[other].shape, forms[other].bytes, k},
                        {"y_test", lists[l].type, lists[l].shape, lists[l].bytes, 0}};
                    if (k > 1 && f > 0)
                        continue;
                    if (forms[f].bytes + forms[other].bytes > ARCHIVE / 2 + 1000)
                        continue;
                    const size_t size = make_archive(archive, arrays, test ? 4 - (k == 1) : 2);
                    write_file(folder, "data.npz", archive, size);
                    open_as(folder, test ? "test" : "train:0.5", "arrays");
                }
    assert_true(opened > before + 20);
    free(folder);
}

/* ---- orders of classes, scans ---- */

static void orders_of_classes(void **state)
{
    (void)state;
    static const struct {
        const char *order;
        enum status status;
    } files[] = {{"c\nb\na10\na9\nA1\n", STATUS_OK}, {" c \r\n\n\tb\r\na10\na9\nA1", STATUS_OK},
                 {"c\nb\na10\na9\n", STATUS_CONFIG}, {"c\nc\na10\na9\nA1\n", STATUS_CONFIG},
                 {"c\nx\n", STATUS_CONFIG},          {"", STATUS_CONFIG}};
    char *folder = path_join(root, "orders"), *list_path = path_join(root, "order.txt");
    static const char *const classes[] = {"A1", "a10", "a9", "b", "c"};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/%s/1.jpg", classes[i]);
        write_file(folder, name, photo_bytes, photo_size);
    }
    write_file(folder, "val/b/1.jpg", photo_bytes, photo_size);
    write_file(folder, "test/1.jpg", photo_bytes, photo_size);
    for (size_t i = 0; i < sizeof files / sizeof *files + 4; i++) {
        static const char *const others[] = {NULL, "as-is", "natural", "/nowhere/order.txt"};
        const bool file = i < sizeof files / sizeof *files;
        const char *order = file ? list_path : others[i - sizeof files / sizeof *files];
        const enum status expected = file                                    ? files[i].status
                                     : i == sizeof files / sizeof *files + 3 ? STATUS_NO_INPUT
                                                                             : STATUS_OK;
        struct image_source source;
        struct error err = {0};
        if (file)
            write_file(root, "order.txt", files[i].order, strlen(files[i].order));
        assert_int_equal(image_source_open(&source, folder, NULL, &err), STATUS_OK);
        const enum status status = class_order_apply(&source, order, &err);
        if (status != expected)
            fail_msg("order %zu: status %d, '%s'", i, (int)status, err.message);
        const char *first = file && i < 2 ? "c" : order && strcmp(order, "natural") == 0 ? "A1" : "A1";
        if (status == STATUS_OK)
            assert_string_equal(source.classes[0], first);
        if (order && strcmp(order, "natural") == 0)
            assert_string_equal(source.classes[1], "a9");
        image_source_release(&source);
    }
    const char *const names[] = {"a01", "a1", "A1", "a", "", "b2c", "b10", "b2", "a001b", "a1b", "B2"};
    int order[11], seen = 0;
    class_order_natural(names, 11, order);
    for (int i = 0; i < 11; i++)
        seen |= 1 << order[i];
    assert_int_equal(seen, (1 << 11) - 1);
    assert_int_equal(order[0], 4);
    assert_int_equal(order[1], 3);
    free(folder);
    free(list_path);
}

static bool stop(void *context, size_t done, size_t total)
{
    (void)total;
    return done < *(size_t *)context;
}

/* A photo that is far too wide, one that is cut, one that is none. */
static void scans_of_images(void **state)
{
    (void)state;
    char *folder = path_join(root, "scan");
    struct image_source source;
    struct error err = {0};
    write_file(folder, "train/a/1.jpg", photo_bytes, photo_size);
    write_file(folder, "train/a/2.jpg", photo_bytes, photo_size - 40);
    write_file(folder, "train/a/3.jpg", "nonsense", 8);
    write_file(folder, "train/a/4.jpg", photo_bytes, 30);
    write_photo(folder, "train/b/wide.jpg", 1, 4000, 0, 0);
    write_photo(folder, "train/b/high.jpg", 4000, 1, 0, 0);
    write_photo(folder, "train/b/good.jpg", 4, 5, 0, 0);
    write_file(folder, "val/a/1.jpg", photo_bytes, photo_size);
    assert_int_equal(image_source_open(&source, folder, NULL, &err), STATUS_OK);
    for (int salvage = 0; salvage < 2; salvage++) {
        struct image_scan scan;
        const struct image_reading reading = {.salvage = salvage};
        assert_int_equal(image_source_scan(&source, &reading, 2, NULL, NULL, &scan, &err), STATUS_OK);
        assert_int_equal(scan.problem_count, 5);
        int salvaged = 0, sides = 0;
        for (size_t i = 0; i < scan.problem_count; i++) {
            salvaged += scan.problems[i].salvaged;
            sides += strstr(scan.problems[i].reason, "one side may be at most") != NULL;
        }
        assert_int_equal(salvaged > 0, salvage);
        assert_int_equal(sides, 2);
        image_scan_release(&scan);
    }
    for (size_t limit = 0; limit < 3; limit++) {
        struct image_scan scan;
        struct error stopped = {0};
        const enum status status =
            image_source_scan(&source, &(struct image_reading){0}, 1, stop, &limit, &scan, &stopped);
        assert_true(status == STATUS_OK || status == STATUS_INTERRUPTED);
        image_scan_release(&scan);
    }
    image_source_release(&source);
    free(folder);
}

static int setup(void **state)
{
    (void)state;
    char path[512];
    root = memory_folder();
    for (int i = 0; i < 100; i++)
        memcpy(names100 + 4 * i, (char[]){'c', (char)('0' + i / 10), (char)('0' + i % 10), '\n'}, 4);
    write_photo(root, "photo.jpg", 8, 8, 0, 0);
    snprintf(path, sizeof path, "%s/photo.jpg", root);
    return file_read(path, 1 << 20, &photo_bytes, &photo_size, NULL) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(root);
    free(root);
    free(photo_bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_are_changed), cmocka_unit_test(bytes_are_changed),
                                       cmocka_unit_test(lists_of_images),   cmocka_unit_test(headers_of_idx),
                                       cmocka_unit_test(arrays_of_npz),     cmocka_unit_test(orders_of_classes),
                                       cmocka_unit_test(scans_of_images),   cmocka_unit_test(programs_of_pickle)};
    return cmocka_run_group_tests_name("dataset_variants", tests, setup, teardown);
}
