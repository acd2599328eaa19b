/* What `run` says about the check, and whether it goes on. */
#include "teacher_dump/teacher_check.h"

#include "shared/base/clock.h"
#include <stdio.h>

static void report_score(struct progress *progress, const struct teacher_check *check, double seconds)
{
    const struct cache_check *score = &check->score;
    char text[2][96] = {"", ""};
    if (score->photos)
        snprintf(text[0], sizeof text[0], "%d of %d photos (%.1f %%)", score->right, score->photos,
                 100.0 * score->right / score->photos);
    if (score->train_photos)
        snprintf(text[1], sizeof text[1], "%s%d of %d training photos (%.1f %%)", score->photos ? " and " : "",
                 score->train_right, score->train_photos, 100.0 * score->train_right / score->train_photos);
    if (!check->labelled)
        progress_note(progress, "check: no photo has a label, so the teacher cannot be scored");
    else
        progress_note(progress, "check: the teacher is right on %s%s; %.1f s", text[0], text[1], seconds);
}

/* On stdout, so that it can be kept: the file that --classes takes. */
static void print_order(const struct dump_job *job, const struct teacher_check *check)
{
    for (int i = 0; check->order && !check->natural && !job->options->json && i < job->manifest.class_count; i++)
        puts(job->manifest.classes[check->order[i]]);
}

enum status teacher_check_report(struct dump_job *job, struct view_batch *views, struct thread_pool *pool,
                                 struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_check check = {0};
    const double start = clock_seconds();
    TRY(teacher_check_run(job, views, pool, &check, err));
    report_score(progress, &check, clock_seconds() - start);
    job->manifest.check = check.score;
    if (!check.found)
        goto cleanup;
    print_order(job, &check);
    if (job->options->check == TEACHER_CHECK_STOP)
        FAIL(error_set(err, STATUS_CONFIG, job->teacher.members[0].path, "%s (--teacher-check warn goes on)",
                       check.message));
    progress_note(progress, "WARNING: the teacher %s", check.message);
cleanup:
    teacher_check_release(&check);
    return status;
}
