/* A batch of views through all models of a teacher, and the mean of their answers. */
#include "teacher_dump/teacher.h"

#include <math.h>
#include <stdlib.h>

enum status teacher_submit(struct teacher *teacher, int buffer, const struct engine_batch *batch, struct error *err)
{
    enum status status = STATUS_OK;
    const int runs = teacher_runs(teacher);
    teacher->counts[buffer] = batch->count;
    for (int i = 0; i < teacher->member_count; i++)
        for (int run = 0; run < runs; run++) {
            struct engine_batch one = *batch;
            one.mirrored = run == 1;
            TRY(teacher->backend->engine->submit(teacher->members[i].engine, buffer * runs + run, &one, err));
        }
cleanup:
    return status;
}

/* sums[k] += weight * logits[k], or of the probabilities. */
static void add_answer(enum ensemble ensemble, const float *logits, size_t classes, double weight, double *sums)
{
    double largest = -INFINITY, sum = 0;
    if (ensemble == ENSEMBLE_LOGITS) {
        for (size_t k = 0; k < classes; k++)
            sums[k] += weight * (double)logits[k];
        return;
    }
    for (size_t k = 0; k < classes; k++)
        largest = fmax(largest, (double)logits[k]);
    for (size_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - largest);
    for (size_t k = 0; k < classes; k++)
        sums[k] += weight * exp((double)logits[k] - largest) / sum;
}

/* A probability so small that it is 0 in double precision must not become minus infinity. */
static void finish_answer(enum ensemble ensemble, const double *sums, size_t classes, float *out)
{
    for (size_t k = 0; k < classes; k++)
        out[k] = (float)(ensemble == ENSEMBLE_LOGITS ? sums[k] : log(fmax(sums[k], 1e-300)));
}

static enum status average(const struct teacher *teacher, const float *const *answers, int answer_count, int count,
                           float *means, struct error *err)
{
    const size_t classes = (size_t)teacher->classes;
    const int runs = teacher_runs(teacher);
    double *sums = malloc(classes * sizeof *sums);
    if (!sums)
        return error_no_memory(err, classes * sizeof *sums, "the teachers' answers");
    for (size_t sample = 0; sample < (size_t)count; sample++) {
        for (size_t k = 0; k < classes; k++)
            sums[k] = 0;
        for (int i = 0; i < answer_count; i++)
            add_answer(teacher->ensemble, answers[i] + sample * classes, classes,
                       teacher->members[i / runs].weight / runs, sums);
        finish_answer(teacher->ensemble, sums, classes, means + sample * classes);
    }
    free(sums);
    return STATUS_OK;
}

enum status teacher_collect(const struct teacher *teacher, int buffer, const float **outputs, struct error *err)
{
    enum status status = STATUS_OK;
    const int runs = teacher_runs(teacher);
    const float *all[TEACHER_MAX_OUTPUTS] = {0}, *answers[2 * TEACHER_MAX_MEMBERS];
    int count = 0;
    for (int i = 0; i < teacher->member_count; i++)
        for (int run = 0; run < runs; run++) {
            const bool plain = i == 0 && run == 0;
            TRY(teacher->backend->engine->collect(teacher->members[i].engine, buffer * runs + run,
                                                  plain ? outputs : all, err));
            answers[count++] = plain ? outputs[0] : all[0];
        }
    if (count == 1)
        return STATUS_OK;
    float *means = teacher->means + (size_t)buffer * (size_t)teacher->batch * (size_t)teacher->classes;
    TRY(average(teacher, answers, count, teacher->counts[buffer], means, err));
    outputs[0] = means;
cleanup:
    return status;
}
