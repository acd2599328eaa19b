/* What it costs to read a shard back before it is published, as a part of the time that it takes to make and write the
 * shard without that. A teacher takes far longer than both. */
#define _GNU_SOURCE
#include "formats/cache/shard.h"
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

int main(void)
{
    measure("logits of 11 classes",
            &(struct cache_plan){.classes = 11, .views = 100, .samples = {2000, 0, 0}, .seed = 1});
    measure("logits of 200 classes",
            &(struct cache_plan){.classes = 200, .views = 50, .samples = {2000, 0, 0}, .seed = 1});
    measure("raw images and features",
            &(struct cache_plan){
                .classes = 11, .views = 50, .samples = {2000, 0, 0}, .seed = 1, .raw = true, .features = true});
    return 0;
}
