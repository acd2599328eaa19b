/* Every allocation and every file call of the readers of ONNX, .net, images and data sets fails once
 * (helper_failing_calls.h): the error says so. AddressSanitizer sees what is not freed. */
#include "formats/datasets/image_source.h"
#include "formats/export/safetensors.h"
#include "formats/export/student_py.h"
#include "formats/net/net_text.h"
#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_outline.h"
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_write.h"
#include "shared/base/files.h"
#include "student_train/run/photos.h"
#include "tests/helper_failing_calls.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_cases.h"
#include "tests/helper_onnx_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *folder;

/* ---- networks ---- */

static void add_graph(uint64_t *sum, const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        attempt_add(sum, graph->nodes[i].name, strlen(graph->nodes[i].name));
    for (int i = 0; i < graph->weight_count; i++)
        attempt_add(sum, graph->weights[i].name, strlen(graph->weights[i].name));
}

struct model {
    const char *path, *output;
    bool student;
};

static enum status read_model(const void *what, uint64_t *sum, struct error *err)
{
    const struct model *model = what;
    struct graph graph;
    const struct onnx_read_options options = {
        .height = 16, .width = 16, .output = model->output, .student = model->student};
    const enum status status = onnx_read_file(&graph, model->path, &options, err);
    if (status != STATUS_OK)
        return status;
    add_graph(sum, &graph);
    graph_release(&graph);
    return STATUS_OK;
}

static enum status outline_model(const void *what, uint64_t *sum, struct error *err)
{
    const struct model *model = what;
    struct onnx_outline outline = {0};
    uint8_t *bytes = NULL, *more = NULL;
    size_t size, more_size;
    char digest[DIGEST_HEX_SIZE];
    enum status status = STATUS_OK;
    TRY(onnx_file_read(model->path, &bytes, &size, digest, err));
    TRY(onnx_outline_read(&outline, bytes, size, model->path, err));
    TRY(onnx_with_outputs(&outline, bytes, size, (const char *const[]){outline.tensors[0].name}, 1, &more, &more_size,
                          err));
    attempt_add(sum, digest, sizeof digest);
    attempt_add(sum, more, more_size);
cleanup:
    onnx_outline_release(&outline);
    free(bytes);
    free(more);
    return status;
}

#define MODELS "tests/golden/onnx_models/"

/* Every output whose values MODELS/NAME.safetensors has. points: of each; 0: what is reached in a new way. */
static void try_model(const char *name, int points)
{
    char path[128], golden[128];
    struct safetensors file;
    unsigned char *bytes;
    size_t size;
    snprintf(path, sizeof path, MODELS "%s.onnx", name);
    snprintf(golden, sizeof golden, MODELS "%s.safetensors", name);
    assert_int_equal(file_read(golden, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    assert_int_equal(safetensors_open(&file, bytes, size, golden, NULL), STATUS_OK);
    for (size_t i = 0; i < file.count; i++) {
        const struct model model = {.path = path, .output = file.entries[i].name};
        if (points)
            attempt_some(read_model, &model, file.entries[i].name, points);
        else
            attempt_new_ways(read_model, &model, file.entries[i].name);
    }
    safetensors_close(&file);
    free(bytes);
}

/* y = x * w, whose w lies in another file. */
static void write_external(char path[512])
{
    static const float weights[] = {1.5f, -2, 4};
    struct proto graph = {0}, model = {0};
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, (const int64_t[]){-1, 3, 1, 1}, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "y", ONNX_FLOAT, NULL, 0);
    model_put_external(&graph, "w", (const int64_t[]){3, 1, 1}, 3, "model.onnx.data", NULL, NULL);
    model_put_node(&graph, "Mul", "x w", "y");
    model_make(&model, &graph, 18);
    write_file(folder, "model.onnx", model.bytes, model.size);
    write_file(folder, "model.onnx.data", weights, sizeof weights);
    proto_release(&model);
    snprintf(path, 512, "%s/model.onnx", folder);
}

static void test_onnx(void **state)
{
    (void)state;
    char external[512];
    write_external(external);
    attempt_all(read_model, &(struct model){.path = external}, "weights in another file");
    attempt_all(outline_model, &(struct model){.path = external}, "its outline");
    attempt_all(outline_model, &(struct model){.path = MODELS "mobilenet_v2.onnx"}, "an outline");
    attempt_all(read_model, &(struct model){.path = MODELS "mobilenet_v2.onnx", .student = true}, "a student");
    attempt_all(read_model, &(struct model){.path = MODELS "resnet18.onnx"}, "a teacher");
    try_model("idioms_pytorch", 1000);
    try_model("idioms_keras", 1000);
    try_model("idioms_gates", 1000);
}

struct small_model {
    struct proto bytes;
    bool student;
};

static enum status read_bytes(const void *what, uint64_t *sum, struct error *err)
{
    const struct small_model *model = what;
    const struct onnx_read_options options = {.height = 8, .width = 8, .student = model->student};
    struct graph graph;
    const enum status status = onnx_read(&graph, model->bytes.bytes, model->bytes.size, "model", &options, err);
    if (status == STATUS_OK)
        add_graph(sum, &graph);
    graph_release(&graph);
    return status;
}

static void try_line(const char *way, const char *line, int opset)
{
    struct small_model model = {0};
    onnx_case_model(&model.bytes, way, line, 0, opset);
    for (int student = 0; student < 2; student++) {
        model.student = student;
        attempt_new_ways(read_bytes, &model, line);
    }
    proto_release(&model.bytes);
}

/* Every operator that the reader knows, in every operator set that has another form of it, alone, before and behind
 * other operators. */
static void test_onnx_operators(void **state)
{
    (void)state;
    static const int sets[] = {18, 13, 11, 9, 6};
    char text[512];
    for (int i = 0; i < onnx_case_count; i++) {
        for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
            try_line(NULL, onnx_cases[i], sets[k]);
        for (int k = 0; k < onnx_way_count && onnx_cases[i][0] != 'c'; k++) {
            try_line(onnx_ways[k], onnx_cases[i], k % 2 ? 18 : 11);
            onnx_case_behind(text, onnx_cases[i], onnx_ways[k]);
            try_line(NULL, text, k % 2 ? 18 : 11);
        }
    }
}

static void test_onnx_patterns(void **state)
{
    (void)state;
    try_model("patterns", 0); /* over 70 outputs, each of which reads the file again */
}

/* A network in every form that one is written in. */
static enum status write_net(const void *what, uint64_t *sum, struct error *err)
{
    static const char *const classes[] = {"a", "b\"", "c", "d", "e"};
    const struct model_card card = {
        .channels = 3, .base = 36, .crop = 32, .size = 32, .std = {1, 1, 1}, .classes = classes, .class_count = 5};
    const struct net_text_options options = {.path = "net", .channels = 3, .size = 32, .classes = 5};
    const char *text = what;
    struct graph graph;
    uint8_t *onnx = NULL, *weights = NULL;
    char *script = NULL;
    size_t size;
    enum status status = net_text_parse(&graph, text, strlen(text), &options, err);
    if (status != STATUS_OK)
        return status;
    TRY(onnx_write_described(&graph, &(struct onnx_metadata){"key", "value"}, 1, &onnx, &size, err));
    attempt_add(sum, onnx, size);
    TRY(safetensors_write_weights(&graph, &weights, &size, err));
    attempt_add(sum, weights, size);
    TRY(safetensors_read_weights(&graph, weights, size, "weights", err));
    TRY(student_py_write(&graph, &card, &script, &size, err));
    attempt_add(sum, script, size);
cleanup:
    graph_release(&graph);
    free(onnx);
    free(weights);
    free(script);
    return status;
}

static void test_nets(void **state)
{
    (void)state;
    static const char *const nets[] = {
        "conv stem 8 3x3 /2 pad 1 nobias\nbn\nrelu\ndwpw a 12 /2\ngap\ndropout 0.1\nfc fc classes\n",
        "conv stem 8 3x3 /2 pad 1 nobias\nbn\nhardswish\nresidual a 8 5x5 se 4\ninverted b 12 24 3x3 /2\nchannels 0 8\n"
        "shuffle 2\ngroupnorm 2\nscale s\ngelu\nconv c 8 1x1 pad 0\nsigmoid\nmul s\nconcat c\nleaky_relu "
        "0.1\nlayernorm\n"
        "avgpool 2\nflatten\nfc d 8\nselu\nfc e classes\n",
        "conv a 4 32x1\nfc c classes\n",
        "conv a 8 3x3\nprelu a_act\nmaxpool 2x2 /2 as p\nconv b 8 1x1\nadd p\ngap\nfc c classes\n",
    };
    attempt_all(write_net, nets[0], "a net");
    attempt_all(write_net, nets[1], "another net");
    attempt_all(write_net, nets[2], "a third net");
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        attempt_new_ways(write_net, nets[i], "a net's allocations");
}

/* ---- photos and data sets ---- */

static enum status read_image(const void *what, uint64_t *sum, struct error *err)
{
    const struct image_reading reading = {.upright = true};
    struct image_info info;
    struct image image = {0};
    unsigned char *bytes;
    size_t size;
    enum status status = file_read(what, 1 << 20, &bytes, &size, err);
    if (status != STATUS_OK)
        return status;
    TRY(image_file_inspect(bytes, size, what, &info, err));
    TRY(image_file_decode(bytes, size, &reading, what, &image, err));
    attempt_add(sum, image.pixels, (size_t)image.h * (size_t)image.w * 3);
cleanup:
    image_release(&image);
    free(bytes);
    return status;
}

static void test_images(void **state)
{
    (void)state;
    static const char *const names[] = {"bmp-rle8.bmp",    "bmp-24bit.bmp",         "gif-interlaced.gif",
                                        "jpeg-exif6.jpg",  "png-exif6.png",         "tiff-tiles.tif",
                                        "tiff-planar.tif", "tiff-orientation6.tif", "png-palette-trns.png",
                                        "webp-exif5.webp", "webp-lossless.webp"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "tests/golden/image_files/%s", names[i]);
        attempt_all(read_image, path, names[i]);
    }
    attempt_all(read_image, "tests/golden/evaluation_views/ycck-121x167.jpg", "CMYK");
}

/* What `student_train predict` sees of a folder of photos, of which one has no image's ending in its name. */
static enum status see_photos(const void *what, uint64_t *sum, struct error *err)
{
    const struct model_card card = {.channels = 3, .base = 20, .crop = 16, .size = 16};
    struct photos photos = {0};
    struct error damage = {0};
    enum status status = photos_list(&photos, what, err);
    for (size_t i = 0; i < photos.count && status == STATUS_OK; i++) {
        struct image seen;
        status = photo_seen(&photos, i, &card, false, &seen, &damage, err);
        if (status == STATUS_OK)
            attempt_add(sum, seen.pixels, (size_t)seen.h * (size_t)seen.w * 3);
        image_release(&seen);
    }
    photos_release(&photos);
    return status;
}

static void test_photos(void **state)
{
    (void)state;
    char *path = path_join(folder, "photos");
    write_photo(path, "a.jpg", 24, 25, 0, 0);
    write_photo(path, "below/b", 24, 25, 1, 0);
    attempt_all(see_photos, path, "photos");
    free(path);
}

static enum status read_source(const void *what, uint64_t *sum, struct error *err)
{
    struct image_source source;
    struct image_scan scan = {0};
    enum status status = image_source_open(&source, what, NULL, err);
    if (status != STATUS_OK)
        return status;
    TRY(image_source_scan(&source, &(struct image_reading){0}, 1, NULL, NULL, &scan, err));
    attempt_add(sum, scan.digest, sizeof scan.digest);
    for (int i = 0; i < source.class_count; i++)
        attempt_add(sum, source.classes[i], strlen(source.classes[i]));
cleanup:
    image_scan_release(&scan);
    image_source_release(&source);
    return status;
}

static void make_idx(const char *path)
{
    enum { ITEMS = 6, SIDE = 4 };
    uint8_t images[16 + ITEMS * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, ITEMS, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    static const uint8_t labels[8 + ITEMS] = {0, 0, 8, 1, 0, 0, 0, ITEMS, 0, 1, 0, 1, 0, 1};
    write_file(path, "train-images-idx3-ubyte", images, sizeof images);
    write_file(path, "train-labels-idx1-ubyte", labels, sizeof labels);
    write_file(path, "t10k-images-idx3-ubyte", images, sizeof images);
    write_file(path, "t10k-labels-idx1-ubyte", labels, sizeof labels);
}

static void make_csv(const char *path)
{
    static const char list[] = "path,label,split\na.jpg,cat,train\nb.jpg,dog,train\nc.jpg,cat,val\nd.jpg,dog,val\n";
    write_file(path, "list.csv", list, sizeof list - 1);
    write_file(path, "sizes.csv", "width,height\n8,9\n", 17); /* no list of images */
    for (int i = 0; i < 4; i++)
        write_photo(path, (const char *const[]){"a.jpg", "b.jpg", "c.jpg", "d.jpg"}[i], 8, 9, i % 2, (uint32_t)i);
}

static void make_cifar(const char *path)
{
    enum { RECORD = 3073 };
    static uint8_t batch[4 * RECORD] = {3};
    static const char meta[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    write_file(path, "data_batch_1.bin", batch, sizeof batch);
    write_file(path, "test_batch.bin", batch, sizeof batch);
    write_file(path, "batches.meta.txt", meta, sizeof meta - 1);
}

static void make_named(const char *path)
{
    for (int i = 0; i < 4; i++) {
        write_photo(
            path, (const char *const[]){"train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg"}[i],
            8, 9, i / 2, (uint32_t)i);
        write_photo(path, (const char *const[]){"val/cat.0.jpg", "val/cat.1.jpg", "val/dog.0.jpg", "val/dog.1.jpg"}[i],
                    8, 9, i / 2, (uint32_t)i);
    }
}

static void make_food(const char *path)
{
    write_photo(path, "training/0_0.jpg", 8, 9, 0, 0);
    write_photo(path, "training/1_0.jpg", 8, 9, 1, 0);
    write_photo(path, "validation/0_1.jpg", 8, 9, 0, 1);
    write_photo(path, "evaluation/1_1.jpg", 8, 9, 1, 1);
}

static void make_folders(const char *path)
{
    write_image_folder(path, "train", 2, 5, 8, 9);
    write_image_folder(path, "val", 2, 1, 8, 9);
    write_file(path, "train/notes.txt", "x", 1);
    write_file(path, "classes.txt", "class_01\nclass_00\n", 18);
}

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*make)(const char *path);
    } sets[] = {{"idx", make_idx},     {"csv", make_csv},   {"cifar", make_cifar},
                {"named", make_named}, {"food", make_food}, {"folders", make_folders}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char *path = path_join(folder, sets[i].name);
        sets[i].make(path);
        attempt_all(read_source, path, sets[i].name);
        free(path);
    }
    attempt_all(read_source, "tests/golden/cifar_python/published10", "a pickle of Python 2");
    attempt_all(read_source, "tests/golden/cifar_python/protocol5", "a pickle of Python 3");
    attempt_all(read_source, "tests/golden/npz/keras.npz", "an archive of arrays");
    attempt_all(read_source, "tests/golden/npz/medmnist.npz", "a compressed archive");
}

struct opening {
    const char *path, *val_from;
};

static enum status open_source(const void *what, uint64_t *sum, struct error *err)
{
    const struct opening *opening = what;
    struct image_source source;
    const struct image_source_options options = {.val_from = opening->val_from, .seed = 1};
    const enum status status = image_source_open(&source, opening->path, &options, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < source.class_count; i++)
        attempt_add(sum, source.classes[i], strlen(source.classes[i]));
    for (int i = 0; i < source.note_count; i++)
        attempt_add(sum, source.notes[i], strlen(source.notes[i]));
    image_source_release(&source);
    return STATUS_OK;
}

/* Layouts that people have, or that are refused with words about what is there. */
static void test_other_layouts(void **state)
{
    (void)state;
    static const char *const files[][8] = {
        {"a/1.jpg", "b/1.jpg"},
        {"notes.txt", "a.b/x.bin", "noending"},
        {"archive/Train/a/1.jpg", "archive/VALID/a/1.jpg", "readme.txt"},
        {"x/train/a/1.jpg", "x/val/a/1.jpg", "y/train/a/1.jpg", "y/val/a/1.jpg"},
        {"train/a/1.jpg", "train/b/1.svg", "val/a/1.jpg"},
        {"train/a/1.jpg", "train/loose.jpg", "val/a/1.jpg"},
        {"train/a/1.jpg", "val/b/1.jpg"},
        {"train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "train/b/2.jpg", "test/1.jpg", ".hidden/x", "other/x"},
        {"training/labeled/0/1.jpg", "training/unlabeled/1.jpg", "validation/0/1.jpg", "testing/0/1.jpg"},
        {"train/cat.1.jpg", "train/dog.2.jpg", "train/x.txt", "val/cat.1.jpg", "test/1.jpg"},
        {"training/0_0.jpg", "training/x.txt", "validation/0_1.jpg", "evaluation/a.jpg"},
        {"training/99_0.jpg", "validation/0_1.jpg"},
    };
    static const char *const choices[] = {NULL, "train:0.5", "test", "train:x"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[32];
        snprintf(name, sizeof name, "layout-%zu", i);
        char *path = path_join(folder, name);
        for (int k = 0; k < 8 && files[i][k]; k++)
            if (strstr(files[i][k], ".jpg"))
                write_photo(path, files[i][k], 8, 9, k % 2, (uint32_t)k);
            else
                write_file(path, files[i][k], "x", 1);
        for (int k = 0; k < 4; k++)
            attempt_new_ways(open_source, &(struct opening){path, choices[k]}, files[i][0]);
        free(path);
    }
}

static int setup(void **state)
{
    (void)state;
    folder = memory_folder();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    free(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx),   cmocka_unit_test(test_onnx_operators), cmocka_unit_test(test_onnx_patterns),
        cmocka_unit_test(test_nets),   cmocka_unit_test(test_images),         cmocka_unit_test(test_sources),
        cmocka_unit_test(test_photos), cmocka_unit_test(test_other_layouts),  cmocka_unit_test(failing_calls_all_seen)};
    return cmocka_run_group_tests_name("failing_readers", tests, setup, teardown);
}
