#include "teacher_dump/commands.h"

#include "shared/base/clock.h"
#include "shared/base/interrupt.h"
#include "teacher_dump/compare_augment.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/estimate.h"
#include "teacher_dump/shard_dump.h"
#include "teacher_dump/shard_queue.h"
#include "teacher_dump/summary.h"
#include "teacher_dump/teacher_check.h"

static const double DRY_CHECK_SECONDS = 20;

struct run {
    struct dump_job job;
    struct progress progress;
    struct cache_writer *writer;
    struct shard_queue *queue;
    struct thread_pool *pool;
    struct view_batch views;
    struct partner_images *partners;
    size_t busy;           /* shards that other processes were working on */
    bool started;          /* the engine is running; it is needed only for the check and if a shard is missing */
    size_t done, computed; /* views: of this part so far; computed in this run */
    double seconds;
};

/* One line per model, and one that says which engine runs it, and why. */
static void announce_teacher(struct run *run)
{
    const struct teacher *teacher = &run->job.teacher;
    const struct shape *input = &teacher->input;
    char text[1024];
    if (!teacher->member_count)
        progress_note(&run->progress, "teacher: none, images and labels only, input %dx%dx%d", input->c, input->h,
                      input->w);
    for (int i = 0; i < teacher->member_count; i++) {
        const struct teacher_member *member = &teacher->members[i];
        const struct teacher_model *model = &member->model;
        char cost[32] = "", weight[32] = "";
        if (!model->foreign)
            snprintf(cost, sizeof cost, ", %.1f MMAC", (double)graph_multiply_count(&model->graph) / 1e6);
        if (teacher->member_count > 1)
            snprintf(weight, sizeof weight, ", weight %.3g", member->weight);
        progress_note(&run->progress, "teacher: %s, input %dx%dx%d, %d logits, %.1f M parameters%s%s", model->file,
                      input->c, input->h, input->w, teacher->classes, model->parameters / 1e6, cost, weight);
        teacher_model_explain(model, text, sizeof text);
        progress_note(&run->progress, "engine: %s", text);
    }
    if (teacher->member_count > 1)
        progress_note(&run->progress, "the teachers' %s are averaged", ensemble_names[teacher->ensemble]);
    if (teacher->tta == TEACHER_TTA_HFLIP)
        progress_note(&run->progress, "answers are averaged over each view and its mirror image");
}

static void announce(struct run *run)
{
    const struct cache_manifest *manifest = &run->job.manifest;
    char text[256], left_out[1024];
    dump_job_describe(&run->job, text, sizeof text);
    progress_note(&run->progress, "data: %s", text);
    for (int i = 0; i < run->job.source.note_count; i++)
        progress_note(&run->progress, "%s", run->job.source.notes[i]);
    image_source_describe_left_out(&run->job.source, left_out, sizeof left_out);
    if (left_out[0])
        progress_note(&run->progress, "left out: %s", left_out);
    announce_teacher(run);
    if (run->job.engine.why)
        progress_note(&run->progress, "on the CPU: %s", run->job.engine.why);
    progress_note(&run->progress, "views: %d of %s, base %d, mean %g,%g,%g, std %g,%g,%g", manifest->views,
                  manifest->recipe, manifest->base, (double)manifest->mean[0], (double)manifest->mean[1],
                  (double)manifest->mean[2], (double)manifest->std[0], (double)manifest->std[1],
                  (double)manifest->std[2]);
}

/* --teacher-check warn takes a mean or std of pixels from 0 to 255 as it is. */
static void warn_of_range(struct run *run)
{
    const struct cache_manifest *manifest = &run->job.manifest;
    double mean[3], std[3];
    char divided[200];
    for (int c = 0; c < 3; c++) {
        mean[c] = (double)manifest->mean[c];
        std[c] = (double)manifest->std[c];
    }
    if (run->job.options->check == TEACHER_CHECK_WARN && check_pixel_range(mean, std, divided, sizeof divided))
        progress_note(&run->progress, "WARNING: mean and std seem to be of pixels from 0 to 255, not 0 to 1: %s",
                      divided);
}

/* Notes int8 features that take more space than fp16 would. */
static void warn_of_features(struct run *run)
{
    for (int i = 0; i < run->job.manifest.feature_count; i++) {
        const struct cache_feature *feature = &run->job.manifest.features[i];
        struct cache_feature half = *feature;
        half.form = FEATURE_FP16;
        if (cache_feature_bytes(feature) > cache_feature_bytes(&half))
            progress_note(&run->progress, "%s: int8 takes more space than fp16, because every channel has a scale",
                          feature->tensor);
    }
}

/* The threads, the teacher, and what makes views for it. */
static enum status start_engine(struct run *run, struct error *err)
{
    struct dump_job *job = &run->job;
    const struct dump_options *options = job->options;
    enum status status = STATUS_OK;
    char text[512];
    if (run->started)
        return STATUS_OK;
    TRY(thread_pool_new(&run->pool, options->threads, err));
    if (cache_has_teacher(&job->manifest)) {
        TRY(teacher_start(&job->teacher, &job->engine, &job->manifest, err));
        teacher_describe(&job->teacher, text, sizeof text);
        progress_note(&run->progress, "device: %s", text);
    }
    TRY(view_batch_init(&run->views, &job->manifest, &job->teacher, job->engine.batch, err));
    run->started = true;
cleanup:
    return status;
}

/* What the first shard needs. */
static enum status start_work(struct run *run, struct error *err)
{
    struct dump_job *job = &run->job;
    const struct dump_options *options = job->options;
    enum status status = STATUS_OK;
    char kernels[512];
    if (run->queue)
        return STATUS_OK;
    TRY(start_engine(run, err));
    if (cache_has_teacher(&job->manifest)) {
        teacher_kernels(&job->teacher, kernels, sizeof kernels);
        TRY(cache_writer_join(run->writer, kernels, options->allow_mixed, err));
    }
    if (cache_has_teacher(&job->manifest) && cache_views_mix(&run->views.cache_views, SPLIT_TRAIN))
        TRY(partner_images_new(&run->partners, job, options->partner_memory, err));
    TRY(shard_queue_new(&run->queue, run->writer, options->threads, err));
cleanup:
    return status;
}

static enum status check_teacher(struct run *run, struct error *err)
{
    enum status status = STATUS_OK;
    if (run->job.options->check == TEACHER_CHECK_OFF || !cache_has_teacher(&run->job.manifest))
        return STATUS_OK;
    TRY(start_engine(run, err));
    TRY(teacher_check_report(&run->job, &run->views, run->pool, &run->progress, err));
cleanup:
    return status;
}

/* A cache that was begun was checked when it was begun, and its manifest says with what result. */
static enum status check_new_cache(struct run *run, struct error *err)
{
    bool begun;
    enum status status = cache_is_begun(run->job.options->out, &begun, err);
    if (status == STATUS_OK && !begun)
        status = check_teacher(run, err);
    return status;
}

static bool on_batch(void *context, size_t done)
{
    struct run *run = context;
    progress_update(&run->progress, run->done + done, NULL);
    return !interrupt_requested();
}

static size_t shard_views(const struct cache_manifest *manifest, enum split split, int shard)
{
    return (size_t)manifest->splits[split].shards[shard].count * (size_t)manifest->splits[split].views;
}

static enum status do_shard(struct run *run, enum split split, int shard, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_shard content = {0};
    struct cache_claim claim = {0};
    TRY(cache_writer_claim(run->writer, split, shard, &claim, err));
    if (claim.state == CACHE_CLAIMED) {
        TRY(start_work(run, err));
        const struct shard_work work = {&run->job, &run->views, run->partners, run->pool, on_batch, run};
        TRY(shard_dump(&work, split, shard, &content, err));
        TRY(shard_queue_put(run->queue, &claim, &content, err));
        run->computed += shard_views(&run->job.manifest, split, shard);
    }
    run->busy += claim.state == CACHE_BUSY;
    run->done += shard_views(&run->job.manifest, split, shard);
    progress_update(&run->progress, run->done, NULL);
    if (interrupt_requested())
        status = STATUS_INTERRUPTED;
cleanup:
    cache_writer_unclaim(&claim);
    cache_shard_release(&content);
    return status;
}

/* Shards are dealt out in turn: part I of N does every N-th shard. */
static bool is_mine(const struct dump_options *options, int number)
{
    return number % options->parts == options->part - 1;
}

static enum status do_shards(struct run *run, struct error *err)
{
    const struct cache_manifest *manifest = &run->job.manifest;
    enum status status = STATUS_OK;
    size_t total = 0;
    int number = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < manifest->splits[s].shard_count; i++)
            total += is_mine(run->job.options, number++) ? shard_views(manifest, (enum split)s, i) : 0;
    progress_begin(&run->progress, "teacher", "views", total, 0);
    number = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < manifest->splits[s].shard_count; i++)
            if (is_mine(run->job.options, number++))
                TRY(do_shard(run, (enum split)s, i, err));
    if (run->queue)
        TRY(shard_queue_finish(run->queue, err));
cleanup:
    progress_end(&run->progress);
    return status;
}

static enum status report(const struct run *run, int missing, struct error *err)
{
    const struct dump_options *options = run->job.options;
    double rate = run->seconds > 0 ? (double)run->computed / run->seconds : 0;
    enum status status = STATUS_OK;
    struct cache cache = {0};
    if (missing == 0)
        TRY(cache_open(&cache, options->out, err));
    if (options->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "cache", options->out);
        cJSON_AddBoolToObject(object, "complete", missing == 0);
        cJSON_AddNumberToObject(object, "missing_shards", missing);
        cJSON_AddNumberToObject(object, "views_computed", (double)run->computed);
        cJSON_AddNumberToObject(object, "views_per_second", rate);
        cJSON_AddNumberToObject(object, "seconds", run->seconds);
        if (missing == 0)
            summary_to_json(&cache.manifest, object);
        TRY(summary_print_json(object, err));
    } else if (missing > 0) {
        printf("%s: this part is done (%zu views, %.1f s, %.1f views/s); %d shards of other parts are still missing; "
               "the last part publishes the cache\n",
               options->out, run->computed, run->seconds, rate, missing);
    } else if (run->computed == 0) {
        printf("%s: complete, every shard verified\n", options->out);
        summary_print(&cache.manifest, stdout);
    } else {
        printf("%s: complete (%zu views in %.1f s, %.1f views/s)\n", options->out, run->computed, run->seconds, rate);
        summary_print(&cache.manifest, stdout);
    }
cleanup:
    cache_release(&cache);
    return status;
}

/* What was done to images that may surprise. */
static void note_conversions(struct run *run)
{
    const struct image_scan *scan = &run->job.scan;
    if (scan->rotated && !run->job.manifest.reading.upright)
        progress_note(&run->progress,
                      "%zu images have an EXIF orientation, which is ignored, as Image.open does (--exif honour turns "
                      "them)",
                      scan->rotated);
    if (scan->alpha)
        progress_note(&run->progress, "%zu images have transparency, which is dropped, as convert('RGB') does",
                      scan->alpha);
    if (scan->deep_gray)
        progress_note(&run->progress,
                      "%zu images have 16 bits of gray: values above 255 become white, as convert('RGB') does; convert "
                      "them to 8 bits if that is not meant",
                      scan->deep_gray);
}

static enum status fill_cache(struct run *run, struct error *err)
{
    enum status status = STATUS_OK;
    int missing;
    TRY(check_new_cache(run, err));
    TRY(dump_job_scan(&run->job, &run->progress, err));
    note_conversions(run);
    TRY(cache_writer_open(&run->writer, run->job.options->out, &run->job.manifest, err));
    double start = clock_seconds();
    TRY(do_shards(run, err));
    run->seconds = clock_seconds() - start;
    TRY(cache_writer_publish(run->writer, &missing, err));
    if (missing > 0 && run->busy == 0 && run->job.options->parts == 1) /* nobody else will make them */
        FAIL(
            error_set(err, STATUS_IO, run->job.options->out,
                      "%d shards are missing although all were written: check the disk, and run the same command again",
                      missing));
    TRY(report(run, missing, err));
cleanup:
    if (status == STATUS_INTERRUPTED && err)
        *err = (struct error){0}; /* whoever noticed the signal does not know what is kept */
    if (status == STATUS_INTERRUPTED)
        error_set(err, STATUS_INTERRUPTED, run->job.options->out,
                  "finished shards are kept: run the same command again to resume");
    return status;
}

/* Measured first: a slow teacher would be checked for minutes. */
static enum status dry_run(struct run *run, struct error *err)
{
    enum status status = STATUS_OK;
    struct measurement m;
    TRY(start_engine(run, err));
    TRY(estimate_measure(&run->job, &run->views, &m, err));
    const double seconds = m.view_seconds * (CHECK_PHOTOS + CHECK_TRAIN_PHOTOS);
    if (seconds > DRY_CHECK_SECONDS)
        progress_note(&run->progress, "check: left out, since the teacher would take about %.0f s for it", seconds);
    else
        TRY(check_teacher(run, err));
    TRY(estimate_print(&run->job, &m, err));
cleanup:
    return status;
}

static enum status compare(struct run *run, struct error *err)
{
    enum status status = STATUS_OK;
    if (!cache_has_teacher(&run->job.manifest))
        FAIL(error_set(err, STATUS_USAGE, NULL, "--compare-augment needs a teacher: --teacher none says nothing"));
    TRY(check_teacher(run, err));
    TRY(start_engine(run, err));
    TRY(compare_augment(&run->job, &run->progress, err));
cleanup:
    return status;
}

enum status run_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct dump_options options = {0};
    struct run run = {0};
    TRY(dump_options_parse(&options, argc, argv, err));
    if (options.help)
        goto cleanup;
    progress_init(&run.progress, stderr, options.quiet || options.json);
    TRY(dump_job_open(&run.job, &options, err));
    announce(&run);
    warn_of_range(&run);
    warn_of_features(&run);
    status = options.compare ? compare(&run, err) : options.dry_run ? dry_run(&run, err) : fill_cache(&run, err);
cleanup:
    shard_queue_free(run.queue);
    cache_writer_close(run.writer);
    view_batch_release(&run.views);
    partner_images_free(run.partners);
    thread_pool_free(run.pool);
    dump_job_release(&run.job);
    dump_options_release(&options);
    return status;
}
