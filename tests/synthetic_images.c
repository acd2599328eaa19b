/* Writes a data set of synthetic photos in ImageFolder layout (OUT/train/class_00/00000.jpg, OUT/val/...): any number,
 * classes and size, the same bytes for the same options whatever the number of threads. A program of its own, so that
 * benchmarks and checks bring their data: build/synthetic_images --help. */
#include "formats/image/jpeg.h"
#include "shared/base/files.h"
#include "shared/base/options.h"
#include "shared/base/threads.h"
#include "tests/helper_synthetic.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const char *out;
    int counts[2]; /* photos in train/ and val/, over all classes */
    int classes, h, w, quality, threads;
    uint64_t seed;
    pthread_mutex_t mutex;
    struct error err; /* of the first photo that failed; mutex */
};

static const char *const splits[] = {"train", "val"};

/* Photo i of a split is of class i % classes, so every prefix is balanced. val's photos follow train's. */
static enum status write_photo(const struct job *job, int split, int i, struct error *err)
{
    enum status status = STATUS_OK;
    const int label = i % job->classes;
    struct image image = {0};
    uint8_t *bytes = NULL;
    size_t size;
    char path[4096];
    FILE *file = NULL;
    snprintf(path, sizeof path, "%s/%s/class_%03d/%06d.jpg", job->out, splits[split], label, i);
    TRY(image_init(&image, job->h, job->w, 3, err));
    synthetic_paint(&image, label, job->classes, job->seed, (uint32_t)(split * job->counts[0] + i));
    TRY(jpeg_encode(&image, job->quality, &bytes, &size, err));
    file = fopen(path, "wb");
    if (!file)
        FAIL(error_set(err, STATUS_CANT_CREATE, path, "%s", strerror(errno)));
    size_t written = fwrite(bytes, 1, size, file);
    if (fclose(file) != 0 || written != size)
        FAIL(error_set(err, STATUS_IO, path, "cannot be written: %s", strerror(errno)));
cleanup:
    free(bytes);
    image_release(&image);
    return status;
}

static void task(void *context, int index, int worker)
{
    struct job *job = context;
    struct error err = {0};
    const int split = index >= job->counts[0];
    (void)worker;
    if (write_photo(job, split, index - split * job->counts[0], &err) == STATUS_OK)
        return;
    pthread_mutex_lock(&job->mutex);
    error_set(&job->err, err.code, err.path, "%s", err.message);
    pthread_mutex_unlock(&job->mutex);
}

static enum status make_folders(const struct job *job, struct error *err)
{
    enum status status = STATUS_OK;
    for (int split = 0; split < 2; split++)
        for (int label = 0; label < job->classes && label < job->counts[split]; label++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s/class_%03d", job->out, splits[split], label);
            TRY(folder_make(path, err));
        }
cleanup:
    return status;
}

static enum status write_set(struct job *job, struct error *err)
{
    enum status status = STATUS_OK;
    struct thread_pool *pool = NULL;
    pthread_mutex_init(&job->mutex, NULL);
    TRY(make_folders(job, err));
    TRY(thread_pool_new(&pool, job->threads, err));
    thread_pool_run(pool, job->counts[0] + job->counts[1], task, job);
    if (job->err.code != STATUS_OK)
        FAIL(error_set(err, job->err.code, job->err.path, "%s", job->err.message));
    printf("%s: %d + %d photos of %dx%d, %d classes\n", job->out, job->counts[0], job->counts[1], job->w, job->h,
           job->classes);
cleanup:
    thread_pool_free(pool);
    pthread_mutex_destroy(&job->mutex);
    return status;
}

int main(int argc, char **argv)
{
    enum { MAX_COUNT = 10000000 };
    struct job job = {0};
    struct error err = {0};
    const struct option_spec specs[] = {
        {"out", OPTION_STRING, &job.out, "DIR", NULL, "folder for train/ and val/", .required = true},
        {"train", OPTION_INT, &job.counts[0], "N", "10000", "photos in train/", .minimum = 1, .maximum = MAX_COUNT},
        {"val", OPTION_INT, &job.counts[1], "N", "1000", "photos in val/", .minimum = 0, .maximum = MAX_COUNT},
        {"classes", OPTION_INT, &job.classes, "N", "11", "", .minimum = 2, .maximum = 1000},
        {"width", OPTION_INT, &job.w, "N", "512", "", .minimum = 16, .maximum = 8192},
        {"height", OPTION_INT, &job.h, "N", "384", "", .minimum = 16, .maximum = 8192},
        {"quality", OPTION_INT, &job.quality, "N", "90", "of the JPEGs", .minimum = 1, .maximum = 100},
        {"seed", OPTION_UINT64, &job.seed, "N", "1", "another seed, other photos of the same classes"},
        {"threads", OPTION_INT, &job.threads, "N", "0", "0: all processors; changes no byte", .minimum = 0,
         .maximum = 1024},
    };
    struct options options = {.command = "synthetic_images",
                              .summary = "writes synthetic photos in ImageFolder layout",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    enum status status = options_parse(&options, argc, argv, &err);
    if (status == STATUS_OK && options.help)
        options_print_help(&options, stdout);
    else if (status == STATUS_OK)
        status = write_set(&job, &err);
    options_release(&options);
    if (status != STATUS_OK)
        fprintf(stderr, "synthetic_images: error: %s%s%s\n", err.path, *err.path ? ": " : "", err.message);
    return (int)status;
}
