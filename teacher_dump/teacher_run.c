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

/* ---- from a model's outputs to logits ---- */

/* Rounding of half-precision outputs may lead a little beyond 1. */
static const float LARGEST_PROBABILITY = 1.01f;

/* logits[classes] of one row of a model's outputs. */
static enum status read_outputs(const struct teacher *teacher, const float *row, float *logits, struct error *err)
{
    const struct teacher_outputs *outputs = &teacher->outputs;
    for (int k = 0; k < teacher->classes; k++) {
        const float value = row[outputs->selected_count ? outputs->selected[k] : k];
        logits[k] = value;
        if (outputs->from != TEACHER_FROM_PROBABILITIES)
            continue;
        if (!(value >= 0 && value <= LARGEST_PROBABILITY))
            return error_set(err, STATUS_BAD_DATA, teacher->members[0].path,
                             "gives %g, which is no probability: leave out --from probabilities", (double)value);
        logits[k] = (float)log(fmax((double)value, TEACHER_LEAST));
    }
    return STATUS_OK;
}

/* ---- the mean of several answers ---- */

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

/* out[count, classes]: the teacher's logits of answers[answer_count][count, output_classes]. */
static enum status combine(const struct teacher *teacher, const float *const *answers, int answer_count, int count,
                           float *out, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t classes = (size_t)teacher->classes, width = (size_t)teacher->output_classes;
    const int runs = teacher_runs(teacher);
    double *sums = malloc(classes * sizeof *sums);
    float *logits = malloc(classes * sizeof *logits);
    if (!sums || !logits)
        FAIL(error_no_memory(err, classes * sizeof *sums, "the teachers' answers"));
    for (size_t sample = 0; sample < (size_t)count; sample++) {
        float *row = out + sample * classes;
        if (answer_count == 1) {
            TRY(read_outputs(teacher, answers[0] + sample * width, row, err));
            continue;
        }
        for (size_t k = 0; k < classes; k++)
            sums[k] = 0;
        for (int i = 0; i < answer_count; i++) {
            TRY(read_outputs(teacher, answers[i] + sample * width, logits, err));
            add_answer(teacher->ensemble, logits, classes, teacher->members[i / runs].weight / runs, sums);
        }
        finish_answer(teacher->ensemble, sums, classes, row);
    }
cleanup:
    free(sums);
    free(logits);
    return status;
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
    if (!teacher->logits)
        return STATUS_OK;
    float *logits = teacher->logits + (size_t)buffer * (size_t)teacher->batch * (size_t)teacher->classes;
    TRY(combine(teacher, answers, count, teacher->counts[buffer], logits, err));
    outputs[0] = logits;
cleanup:
    return status;
}
