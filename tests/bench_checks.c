/* What it costs to read a shard back before it is published, as a part of the time that it takes to make and write the
 * shard without that (a teacher takes far longer than both); and how fast our reader is beside libhdf5's. */
#define _GNU_SOURCE
#include "formats/cache/hdf5_table.h"
#include "formats/cache/zstd_filter.h"
#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Writing without reading back, as a baseline. */
static void write_plain(const char *path, const unsigned char *bytes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    for (size_t done = 0; file >= 0 && done < size;) {
        ssize_t put = write(file, bytes + done, size - done);
        if (put <= 0)
            abort();
        done += (size_t)put;
    }
    if (file < 0 || fsync(file) != 0 || close(file) != 0)
        abort();
}

static void measure(const char *title, const struct cache_plan *plan)
{
    enum { ROUNDS = 5 };
    char *folder = temporary_folder(), *path = path_join(folder, "shard");
    struct cache_manifest manifest;
    struct cache_shard content;
    double made = 1e9, checked = 1e9, plain = 1e9, published = 1e9;
    size_t size = 0;
    plan_manifest(plan, &manifest);
    plan_shard(plan, &manifest, SPLIT_TRAIN, 0, &content);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char *bytes;
        uint64_t images;
        double times[5] = {clock_seconds()};
        if (shard_build(&manifest, &content, NULL, &bytes, &size, &images, NULL) != STATUS_OK)
            abort();
        times[1] = clock_seconds();
        if (shard_check_bytes(&manifest, &content, &manifest.splits[SPLIT_TRAIN].shards[0], bytes, size, NULL) !=
            STATUS_OK)
            abort();
        times[2] = clock_seconds();
        write_plain(path, bytes, size);
        times[3] = clock_seconds();
        if (file_publish(path, bytes, size, NULL) != STATUS_OK)
            abort();
        times[4] = clock_seconds();
        const double took[4] = {times[1] - times[0], times[2] - times[1], times[3] - times[2], times[4] - times[3]};
        made = took[0] < made ? took[0] : made;
        checked = took[1] < checked ? took[1] : checked;
        plain = took[2] < plain ? took[2] : plain;
        published = took[3] < published ? took[3] : published;
        free(bytes);
    }
    const double views = (double)content.count * content.views, more = checked + published - plain;
    printf("%s: %.1f MB, made and written in %.3f s, %.3f s more to check it (%.0f %%), %.1f us a view\n", title,
           (double)size / 1e6, made + plain, more, 100 * more / (made + plain), 1e6 * more / views);
    cache_shard_release(&content);
    arena_release(&manifest.arena);
    remove_folder(folder);
    free(path);
    free(folder);
}

/* Every data set by H5Dread, from a file in memory. Returns the bytes that it read. */
static size_t read_by_libhdf5(const unsigned char *bytes, size_t size)
{
    size_t total = 0;
    hdf5_enter();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, 0);
    H5Pset_file_image(access, (void *)(uintptr_t)bytes, size);
    hid_t file = H5Fopen("shard", H5F_ACC_RDONLY, access);
    H5G_info_t group;
    if (file < 0 || H5Gget_info(file, &group) < 0)
        abort();
    for (hsize_t i = 0; i < group.nlinks; i++) {
        char name[64];
        H5Lget_name_by_idx(file, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
        hid_t set = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(set), space = H5Dget_space(set);
        const size_t wanted = (size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type);
        void *data = malloc(wanted);
        if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
            abort();
        total += wanted;
        free(data);
        H5Sclose(space);
        H5Tclose(type);
        H5Dclose(set);
    }
    H5Fclose(file);
    H5Pclose(access);
    hdf5_leave();
    return total;
}

static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* By turns, in seconds of the processor, since both use one thread; the fastest round of each counts. Ours also checks
 * every value. */
static void measure_reading(const char *title, const struct cache_plan *plan)
{
    enum { ROUNDS = 9 };
    struct cache_manifest manifest;
    struct cache_shard content;
    unsigned char *bytes;
    uint64_t images;
    size_t size, total = 0;
    double ours = 1e9, theirs = 1e9;
    plan_manifest(plan, &manifest);
    plan_shard(plan, &manifest, SPLIT_TRAIN, 0, &content);
    if (shard_build(&manifest, &content, NULL, &bytes, &size, &images, NULL) != STATUS_OK)
        abort();
    for (int round = 0; round < ROUNDS; round++) {
        struct cache_shard read;
        const double begin = processor_seconds();
        if (shard_parse(&manifest, SPLIT_TRAIN, &manifest.splits[SPLIT_TRAIN].shards[0], bytes, size,
                        CACHE_READ_IMAGES | CACHE_READ_FEATURES, "shard", &read, NULL) != STATUS_OK)
            abort();
        cache_shard_release(&read);
        const double middle = processor_seconds();
        total = read_by_libhdf5(bytes, size);
        const double end = processor_seconds();
        ours = middle - begin < ours ? middle - begin : ours;
        theirs = end - middle < theirs ? end - middle : theirs;
    }
    printf("reading %s: %.1f MB stored, %.1f MB of data: %.0f MB/s a core, H5Dread %.0f MB/s: %.2f times\n", title,
           (double)size / 1e6, (double)total / 1e6, (double)total / 1e6 / ours, (double)total / 1e6 / theirs,
           theirs / ours);
    free(bytes);
    cache_shard_release(&content);
    arena_release(&manifest.arena);
}

int main(void)
{
    const struct cache_plan dense = {.classes = 11, .views = 100, .samples = {2000, 0, 0}, .seed = 1},
                            wide = {.classes = 200, .views = 50, .samples = {2000, 0, 0}, .seed = 1},
                            features = {.classes = 11,
                                        .views = 50,
                                        .samples = {2000, 0, 0},
                                        .seed = 1,
                                        .raw = true,
                                        .features = true};
    if (zstd_filter_register(NULL) != STATUS_OK)
        abort();
    measure_reading("logits of 11 classes", &dense);
    measure_reading("logits of 200 classes", &wide);
    measure_reading("raw images and features", &features);
    measure("logits of 11 classes", &dense);
    measure("logits of 200 classes", &wide);
    measure("raw images and features", &features);
    return 0;
}
