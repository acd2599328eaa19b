#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/estimate.h"

#include "shared/base/clock.h"
#include "shared/base/deadline.h"
#include "shared/base/threads.h"
#include "teacher_dump/summary.h"
#include "teacher_dump/view_batch.h"
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { MAX_SAMPLES = 256 };
static const double MEASURE_SECONDS = 2;
static const char too_slow[] =
    "teacher_dump: error: --dry-run ends after 30 seconds: to load the teacher and to run it on a few views takes "
    "longer; try a smaller --size\n";

void estimate_begin(void)
{
    deadline_set(30000, STATUS_CONFIG, too_slow);
}

/* Samples are spread over the largest split, so that they come from all classes. */
static enum split largest_split(const struct dump_job *job)
{
    int largest = 0;
    for (int s = 1; s < SPLIT_COUNT; s++)
        if (job->source.sets[s].count > job->source.sets[largest].count)
            largest = s;
    return (enum split)largest;
}

/* A batch of views of sampled images. */
struct sampled {
    struct prepared_image *images; /* [batch] the latest ones */
    struct view_request *requests; /* [batch] */
    int batch;
};

static enum status sampled_init(struct sampled *sampled, int batch, struct error *err)
{
    *sampled = (struct sampled){.batch = batch};
    sampled->images = calloc((size_t)batch, sizeof *sampled->images);
    sampled->requests = calloc((size_t)batch, sizeof *sampled->requests);
    if (!sampled->images || !sampled->requests)
        return error_no_memory(err, (size_t)batch * sizeof *sampled->images, "a batch");
    return STATUS_OK;
}

static void sampled_release(struct sampled *sampled)
{
    for (int i = 0; i < sampled->batch && sampled->images; i++)
        prepared_image_release(&sampled->images[i]);
    free(sampled->images);
    free(sampled->requests);
}

/* Image `index` of the split into place `place` of the batch. An image that cannot be read counts as a failure. */
static void sample_image(const struct dump_job *job, enum split split, size_t index, struct sampled *sampled, int place,
                         struct measurement *m)
{
    const char *name = job->source.sets[split].samples[index].name;
    struct prepared_image image;
    uint8_t *bytes = NULL;
    size_t size;
    if (image_source_read(&job->source, split, index, &bytes, &size, NULL) == STATUS_OK &&
        prepared_image_make(&image, &job->manifest, bytes, size, name, NULL) == STATUS_OK) {
        prepared_image_release(&sampled->images[place]);
        sampled->images[place] = image;
        sampled->requests[place] =
            (struct view_request){.image = &sampled->images[place],
                                  .which = {.split = SPLIT_TRAIN, .sample = (uint32_t)index, .id = (uint32_t)index}};
        m->image_bytes += (double)size;
        m->images++;
    } else {
        m->failures++;
    }
    free(bytes);
}

static enum status measure_images(const struct dump_job *job, struct sampled *sampled, struct measurement *m,
                                  struct error *err)
{
    const enum split split = largest_split(job);
    const size_t count = job->source.sets[split].count, samples = count < MAX_SAMPLES ? count : MAX_SAMPLES;
    const double start = clock_seconds();
    for (size_t i = 0; i < samples && clock_seconds() - start < MEASURE_SECONDS / 2; i++)
        sample_image(job, split, i * count / samples, sampled, m->images % sampled->batch, m);
    if (m->images == 0)
        return error_set(err, STATUS_BAD_DATA, job->source.path, "none of %d sampled images can be read", m->failures);
    m->image_seconds = (clock_seconds() - start) / m->images;
    m->image_bytes /= m->images;
    return STATUS_OK;
}

/* Runs one batch again and again, with as many in progress as in a run. */
static enum status measure_views(const struct dump_job *job, struct view_batch *views, const struct sampled *sampled,
                                 struct measurement *m, struct error *err)
{
    const int count = m->images < sampled->batch ? m->images : sampled->batch;
    enum status status = STATUS_OK;
    const int threads = job->options->threads ? job->options->threads : processor_count();
    const int few = count < threads ? count : threads;
    struct view_answers answers;
    int runs = 0;
    double start = 0;
    for (int i = 0; i < 2; i++) { /* the first run warms up; with a slow teacher, a few views more are enough */
        start = clock_seconds();
        TRY(view_batch_submit(views, 0, sampled->requests, few, err));
        TRY(view_batch_collect(views, 0, &answers, err));
        m->view_seconds = (clock_seconds() - start) / few;
        if (m->view_seconds * few < MEASURE_SECONDS / 2 || m->view_seconds * few > 2 * MEASURE_SECONDS)
            break;
    }
    if (m->view_seconds * count > MEASURE_SECONDS)
        return STATUS_OK;
    start = clock_seconds();
    do {
        if (runs >= TEACHER_IN_FLIGHT)
            TRY(view_batch_collect(views, runs % TEACHER_IN_FLIGHT, &answers, err));
        TRY(view_batch_submit(views, runs % TEACHER_IN_FLIGHT, sampled->requests, count, err));
        runs++;
    } while (clock_seconds() - start < MEASURE_SECONDS / 2);
    for (int buffer = 0; buffer < TEACHER_IN_FLIGHT && buffer < runs; buffer++)
        TRY(view_batch_collect(views, buffer, &answers, err));
    m->view_seconds = (clock_seconds() - start) / ((double)runs * count);
cleanup:
    return status;
}

enum status estimate_measure(struct dump_job *job, struct view_batch *views, struct measurement *m, struct error *err)
{
    enum status status = STATUS_OK;
    struct sampled sampled;
    *m = (struct measurement){0};
    TRY(sampled_init(&sampled, job->engine.batch, err));
    TRY(measure_images(job, &sampled, m, err));
    if (cache_has_teacher(&job->manifest)) /* without one, views are first rendered for a student */
        TRY(measure_views(job, views, &sampled, m, err));
    deadline_clear(too_slow);
cleanup:
    sampled_release(&sampled);
    return status;
}

/* Free bytes on the disk where `path` is or would be. */
static uint64_t free_bytes(const char *path)
{
    char folder[4096];
    struct statvfs info;
    snprintf(folder, sizeof folder, "%s", path);
    while (statvfs(folder, &info) != 0) {
        char *slash = strrchr(folder, '/');
        if (!slash)
            strcpy(folder, ".");
        else if (slash == folder)
            folder[1] = 0;
        else
            *slash = 0;
    }
    return (uint64_t)info.f_bavail * info.f_frsize;
}

struct estimate {
    uint64_t images, views, shards;
    double output_bytes, image_bytes, seconds;
    double bytes_per_view;     /* without images */
    uint64_t total, available; /* bytes */
};

static struct estimate extrapolate(const struct dump_job *job, const struct measurement *m)
{
    const int threads = job->options->threads ? job->options->threads : processor_count();
    /* ratio: compression of float16 logits and maps; sample_bytes: names, ids and the file itself (on photo sets). */
    const double ratio = 0.92, sample_bytes = 12, named_bytes = CACHE_NAME_SIZE + 64;
    struct estimate e = {0};
    bool embedded = job->manifest.images_embedded;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        size_t count = job->source.sets[s].count;
        double bytes = (double)cache_sample_bytes(&job->manifest, (enum split)s);
        double image = embedded ? m->image_bytes : 0;
        double per_shard = CACHE_SHARD_LIMIT / (bytes + image);
        per_shard = per_shard > CACHE_SHARD_SAMPLES ? CACHE_SHARD_SAMPLES : per_shard < 1 ? 1 : per_shard;
        e.images += count;
        e.views += count * (uint64_t)(s == SPLIT_TRAIN ? job->manifest.views : 1);
        e.shards += (uint64_t)((double)count / per_shard) + (count > 0);
        e.output_bytes += (double)count * ((bytes - named_bytes) * ratio + sample_bytes + (embedded ? 0 : 36));
        e.image_bytes += (double)count * image;
    }
    /* Images are decoded twice: once to check them, once to use them. */
    e.seconds = 2 * (double)e.images * m->image_seconds / threads + (double)e.views * m->view_seconds;
    e.total = (uint64_t)(e.output_bytes + e.image_bytes);
    e.bytes_per_view = e.views ? e.output_bytes / (double)e.views : 0;
    e.available = free_bytes(job->options->out);
    return e;
}

static enum status print_json(const struct dump_job *job, const struct measurement *m, const struct estimate *e,
                              struct error *err)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "samples", (double)e->images);
    cJSON_AddNumberToObject(object, "views", (double)e->views);
    cJSON_AddNumberToObject(object, "shards", (double)e->shards);
    cJSON_AddNumberToObject(object, "bytes", (double)e->total);
    cJSON_AddNumberToObject(object, "image_bytes", e->image_bytes);
    cJSON_AddNumberToObject(object, "bytes_per_view", e->bytes_per_view);
    cJSON_AddNumberToObject(object, "free_bytes", (double)e->available);
    cJSON_AddNumberToObject(object, "views_per_second", m->view_seconds > 0 ? 1 / m->view_seconds : 0);
    cJSON_AddNumberToObject(object, "seconds", e->seconds);
    summary_check_to_json(&job->manifest.check, object);
    summary_features_to_json(&job->manifest, job->source.sets[SPLIT_TRAIN].count, object);
    return summary_print_json(object, err);
}

static void print_text(const struct dump_job *job, const struct measurement *m, const struct estimate *e)
{
    char all[32], image[32], left[32];
    summary_print_features(&job->manifest, job->source.sets[SPLIT_TRAIN].count, stdout);
    printf("a run would write about %s (of which %s are images; %.1f bytes per view without them) in %llu shards\n",
           summary_bytes(e->total, all), summary_bytes((uint64_t)e->image_bytes, image), e->bytes_per_view,
           (unsigned long long)e->shards);
    printf("and take about %.0f s: %llu views at %.3g views/s, %llu images at %.0f images/s per thread\n", e->seconds,
           (unsigned long long)e->views, m->view_seconds > 0 ? 1 / m->view_seconds : 0, (unsigned long long)e->images,
           1 / m->image_seconds);
    printf("%s free at %s%s\n", summary_bytes(e->available, left), job->options->out,
           e->available < e->total ? ": NOT ENOUGH" : "");
    if (m->failures)
        printf("%d of %d sampled images cannot be decoded\n", m->failures, m->failures + m->images);
    printf("nothing was written\n");
}

enum status estimate_print(struct dump_job *job, const struct measurement *m, struct error *err)
{
    const struct estimate e = extrapolate(job, m);
    if (job->options->json)
        return print_json(job, m, &e, err);
    print_text(job, m, &e);
    return STATUS_OK;
}
