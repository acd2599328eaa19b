/* What all checks of files cost, as a share of a whole `teacher_dump run` and `student_train fit`, in seconds of the
 * processor: the share that reliability.md promises to keep below 3 %. The programs run as a user runs them; then the
 * same checks are made again, alone, on the files that they left:
 *   run   every shard decoded and compared, hashed, and read back; the photos were also decoded once to find broken
 *         ones, which is printed apart: it is a check of the user's data
 *   fit   every shard of both splits hashed, and weights and checkpoint hashed and read back for every time that they
 *         were saved
 * usage: bench_check_share [TEACHER.onnx PHOTOS [VIEWS [STUDENT [EPOCHS]]]]
 *   default: a teacher of 3 million multiplications and small synthetic photos, so the share is larger than usual */
#define _GNU_SOURCE
#include "formats/cache/cache.h"
#include "formats/cache/shard.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SAVE_SECONDS = 2 }; /* of fit_loop.c */

static double children_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_CHILDREN, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Runs a command; returns its seconds of the processor, all threads together. */
__attribute__((format(printf, 1, 2))) static double run(const char *format, ...)
{
    char command[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    const double before = children_seconds();
    if (system(command) != 0) {
        fprintf(stderr, "bench_check_share: failed: %s\n", command);
        exit(1);
    }
    return children_seconds() - before;
}

static unsigned char *read_all(const char *path, size_t *size)
{
    unsigned char *bytes;
    if (file_read(path, (size_t)1 << 31, &bytes, size, NULL) != STATUS_OK)
        abort();
    return bytes;
}

/* Hashes a file, and reads it back and compares. */
static double check_file(const char *path)
{
    char hex[DIGEST_HEX_SIZE];
    size_t size, again_size;
    unsigned char *bytes = read_all(path, &size);
    const double begin = thread_seconds();
    digest_bytes(bytes, size, hex);
    unsigned char *again = read_all(path, &again_size);
    if (again_size != size || memcmp(bytes, again, size) != 0)
        abort();
    const double took = thread_seconds() - begin;
    free(again);
    free(bytes);
    return took;
}

/* Every shard of the cache as `run` checks it; hashed: only that. */
static double check_shards(const struct cache *cache, double *hashed)
{
    const struct cache_manifest *manifest = &cache->manifest;
    double all = 0;
    *hashed = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            const struct cache_shard_entry *entry = &manifest->splits[s].shards[i];
            struct cache_shard content;
            char hex[DIGEST_HEX_SIZE], *path = path_join(cache->path, entry->file);
            size_t size;
            unsigned char *bytes = read_all(path, &size);
            if (cache_read_shard(cache, (enum split)s, i, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &content, NULL) !=
                STATUS_OK)
                abort();
            const double begin = thread_seconds();
            digest_bytes(bytes, size, hex);
            *hashed += thread_seconds() - begin;
            const double middle = thread_seconds();
            if (shard_check_bytes(manifest, &content, entry, bytes, size, NULL) != STATUS_OK)
                abort();
            all += thread_seconds() - middle + check_file(path);
            cache_shard_release(&content);
            free(bytes);
            free(path);
        }
    return all;
}

static const char *build(void)
{
    return getenv("BUILD") ? getenv("BUILD") : "build";
}

static void measure(const char *folder, const char *teacher, const char *photos, int views, const char *student,
                    int epochs)
{
    struct cache cache;
    double hashed;
    char path[4096];
    const double scan = run("%s/teacher_dump run --data '%s' --teacher none --out %s/none --views 1 --quiet >/dev/null",
                            build(), photos, folder);
    const double whole = run("%s/teacher_dump run --data '%s' --teacher '%s' --out %s/cache --views %d --device cpu "
                             "--teacher-check off --quiet >/dev/null",
                             build(), photos, teacher, folder, views);
    snprintf(path, sizeof path, "%s/cache", folder);
    if (cache_open(&cache, path, NULL) != STATUS_OK)
        abort();
    const double checks = check_shards(&cache, &hashed);
    printf(
        "run: %.2f s of the processor, of which checks %.3f s: %.2f %%; all photos decoded once to find broken ones: "
        "at most %.2f s, %.1f %%\n",
        whole, checks, 100 * checks / whole, scan, 100 * scan / whole);
    const double trained = run("%s/student_train fit --cache %s/cache --student %s --loss kd --epochs %d --device cpu "
                               "--max-params 0 --quiet --out %s/run >/dev/null",
                               build(), folder, student, epochs, folder);
    static const char *const files[] = {"checkpoint", "best.safetensors", "last.safetensors"};
    double saved = 0;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/run/%s", folder, files[i]);
        if (file_exists(path))
            saved += check_file(path);
    }
    const double all = hashed + saved * (1 + trained / SAVE_SECONDS);
    printf("fit: %.2f s of the processor, of which checks %.3f s: %.2f %%\n", trained, all, 100 * all / trained);
    cache_release(&cache);
}

int main(int argc, char **argv)
{
    char *folder = temporary_folder(), *photos = path_join(folder, "photos");
    if (argc < 3) {
        write_image_folder(photos, "train", 11, 20, 240, 300);
        write_image_folder(photos, "val", 11, 5, 300, 240);
    }
    measure(folder, argc > 2 ? argv[1] : "tests/golden/onnx_models/mobilenet_v2.onnx", argc > 2 ? argv[2] : photos,
            argc > 3 ? atoi(argv[3]) : 4, argc > 4 ? argv[4] : "dwpw", argc > 5 ? atoi(argv[5]) : 2);
    remove_folder(folder);
    free(photos);
    free(folder);
    return 0;
}
