/* libFuzzer: data sets that are one file, or have a file that says what the others are, from hostile bytes (make fuzz).
 * The first byte chooses the kind, the rest is the file. Image files have fuzz_image.c, gzip has fuzz_gzip.c. */
#include "formats/datasets/image_source.h"
#include "shared/base/files.h"
#include "tests/helper_fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { RECORD = 3073, ITEMS = 3, SIDE = 2 };

#define PICKLES "tests/golden/cifar_python/"
static const struct kind {
    const char *file;                        /* what the bytes become */
    const char *partners[3], *partner_of[3]; /* files beside it, as they are in this repository */
    const char *seed;
} kinds[] = {
    {"list.csv"},
    {"data.npz", .seed = "tests/golden/npz/keras.npz"},
    {"data_batch_1",
     {"test_batch", "batches.meta"},
     {PICKLES "published10/test_batch", PICKLES "published10/batches.meta"},
     PICKLES "published10/data_batch_1"},
    {"batches.meta",
     {"data_batch_1", "test_batch"},
     {PICKLES "published10/data_batch_1", PICKLES "published10/test_batch"},
     PICKLES "published10/batches.meta"},
    {"train", {"test", "meta"}, {PICKLES "protocol5/test", PICKLES "protocol5/meta"}, PICKLES "protocol5/train"},
    {"batches.meta.txt"},
    {"train-images-idx3-ubyte"},
    {"train-labels-idx1-ubyte"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static char folders[KINDS][128];

/* Partners that this repository has no file of: two batches of CIFAR-10, a set of IDX files. */
static void write_partners(void)
{
    static uint8_t batch[2 * RECORD] = {3};
    static const uint8_t images[16 + ITEMS * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, ITEMS, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    static const uint8_t labels[8 + ITEMS] = {0, 0, 8, 1, 0, 0, 0, ITEMS, 0, 1, 2};
    static const char meta[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    static const char list[] =
        "path,label,split\n\"a\"\"b.jpg\",cat,train\nc.jpg,dog,train\nd.jpg,cat,val\ne.jpg,,test\n";
    fuzz_file(folders[5], "data_batch_1.bin", batch, sizeof batch);
    fuzz_file(folders[5], "test_batch.bin", batch, sizeof batch);
    for (int i = 6; i < 8; i++) {
        fuzz_file(folders[i], "train-images-idx3-ubyte", images, sizeof images);
        fuzz_file(folders[i], "train-labels-idx1-ubyte", labels, sizeof labels);
        fuzz_file(folders[i], "t10k-images-idx3-ubyte", images, sizeof images);
        fuzz_file(folders[i], "t10k-labels-idx1-ubyte", labels, sizeof labels);
    }
    fuzz_seed("list", 0, list, sizeof list - 1);
    fuzz_seed_file("packed", 1, "tests/golden/npz/medmnist.npz");
    fuzz_seed("meta", 5, meta, sizeof meta - 1);
    fuzz_seed("images", 6, images, sizeof images);
    fuzz_seed("labels", 7, labels, sizeof labels);
}

static void copy_partner(const char *folder, const char *name, const char *path)
{
    uint8_t *bytes;
    size_t size;
    if (file_read(path, 1 << 20, &bytes, &size, NULL) != STATUS_OK)
        abort(); /* not started in the repository's root */
    fuzz_file(folder, name, bytes, size);
    free(bytes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *root = fuzz_folder();
    for (int i = 0; i < KINDS; i++) {
        char name[16];
        snprintf(folders[i], sizeof folders[i], "%s/%d", root, i);
        snprintf(name, sizeof name, "%d", i);
        if (mkdir(folders[i], 0700) != 0)
            abort();
        for (int k = 0; k < 3 && kinds[i].partners[k]; k++)
            copy_partner(folders[i], kinds[i].partners[k], kinds[i].partner_of[k]);
        if (kinds[i].seed)
            fuzz_seed_file(name, (uint8_t)i, kinds[i].seed);
    }
    write_partners();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct image_source source;
    if (size < 1)
        return 0;
    const int kind = bytes[0] % KINDS;
    fuzz_file(folders[kind], kinds[kind].file, bytes + 1, size - 1);
    if (image_source_open(&source, folders[kind], NULL, NULL) != STATUS_OK)
        return 0;
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (size_t i = 0; i < source.sets[split].count && i < 16; i++) {
            uint8_t *sample;
            size_t sample_size;
            const int label = source.sets[split].samples[i].label;
            if (label < (split == SPLIT_TEST ? -1 : 0) || label >= source.class_count)
                abort();
            if (image_source_read(&source, (enum split)split, i, &sample, &sample_size, NULL) == STATUS_OK)
                free(sample);
        }
    image_source_release(&source);
    return 0;
}
