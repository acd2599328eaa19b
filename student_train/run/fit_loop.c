/* The loop over epochs: train, validate, keep the best weights, save. */
#include "student_train/run/fit.h"

#include "shared/base/clock.h"
#include <math.h>
#include <stdlib.h>

/* Seconds between two checkpoints. An epoch may take only a few hundredths of a second and must not wait for the disk
 * every time. A resumed run repeats the epochs that were not saved, with the same result. */
static const double SAVE_SECONDS = 2;

/* What makes an epoch the best: its accuracy; without labels its agreement with the teacher; without a validation split
 * its number, so that the last epoch is the best. */
static double score(const struct fit *fit, const struct run_epoch *row)
{
    return !fit->data->validates ? row->epoch : isfinite(row->val_accuracy) ? row->val_accuracy : row->agreement;
}

/* With --select-on half on one half of the samples; the results are of the other one. */
static enum status validate(struct fit *fit, struct run_epoch *rows, struct error *err)
{
    const struct dataset *dataset = &fit->data->validation;
    const bool half = fit->runs[0].options.select_on == SELECT_ON_HALF;
    struct totals totals[TRAINING_MAX_STUDENTS];
    enum status status = STATUS_OK;
    int32_t *predictions = half ? calloc(size_mul((size_t)fit->count, dataset->count), sizeof *predictions) : NULL;
    if (half && !predictions)
        return error_no_memory(err, dataset->count * sizeof *predictions, "a validation");
    TRY(trainer_evaluate(&fit->trainer, dataset, true, predictions, totals, NULL, err));
    for (int k = 0; k < fit->count; k++) {
        rows[k].val_loss = half ? NAN : totals_loss(&totals[k]);
        rows[k].val_accuracy = totals_accuracy(&totals[k]);
        rows[k].agreement = totals_agreement(&totals[k]);
        if (half)
            TRY(evaluation_score(dataset, fit->trainer.classes, predictions + (size_t)k * dataset->count, PART_EVEN,
                                 &rows[k].val_accuracy, &rows[k].agreement, err));
    }
cleanup:
    free(predictions);
    return status;
}

static enum status keep_best(struct fit *fit, int k, const struct run_epoch *row, struct error *err)
{
    struct fit_run *run = &fit->runs[k];
    struct best_epoch *best = &fit->state.best[k];
    enum status status = STATUS_OK;
    /* an epoch without fake quantisation is not compared with one that has it */
    if (best->epoch > fit_options_first_compared(&run->options, row->epoch) && !(score(fit, row) > best->score))
        return STATUS_OK;
    best->epoch = row->epoch;
    best->score = isfinite(score(fit, row)) ? score(fit, row) : 0;
    TRY(trainer_weights(&fit->trainer, k, &run->student.graph, err));
    run->fresh = true;
cleanup:
    return status;
}

static enum status publish_best(struct fit_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    if (run->fresh)
        TRY(run_publish_weights(&run->student.graph, run->options.out, "best.safetensors", err));
    run->fresh = false;
cleanup:
    return status;
}

/* Writes everything up to the last epoch to disk, the checkpoint last, so that the files always fit together. */
static enum status save(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    for (int k = 0; k < fit->count; k++) {
        TRY(publish_best(&fit->runs[k], err));
        TRY(run_log_sync(fit->runs[k].log, err));
    }
    TRY(checkpoint_write(fit->checkpoint, &fit->trainer, &fit->state, fit->identity, err));
    fit->saved = clock_seconds();
cleanup:
    return status;
}

static enum status train(struct fit *fit, int epoch, struct run_epoch *rows, struct error *err)
{
    struct totals totals[TRAINING_MAX_STUDENTS];
    const struct dataset *dataset = &fit->data->train;
    const uint32_t capacity = (uint32_t)fit->options.batch, steps = (dataset->count + capacity - 1) / capacity;
    const double start = clock_seconds();
    enum status status = trainer_epoch(&fit->trainer, dataset, epoch, fit->progress, totals, err);
    if (status != STATUS_OK)
        return status;
    for (int k = 0; k < fit->count; k++) {
        const struct fit_run *run = &fit->runs[k];
        struct run_epoch *row = &rows[k];
        row->learning_rate = schedule_rate(&run->options.schedule, epoch, steps - 1, steps);
        row->train_loss = totals_loss(&totals[k]);
        for (int i = 0; i < run->loss.count; i++)
            row->terms[i] = totals_term(&totals[k], i);
        row->train_accuracy = totals_accuracy(&totals[k]);
        row->images_per_second = dataset->count / (clock_seconds() - start);
        fit->diverged = !isfinite(row->train_loss) && fit->count == 1;
        if (fit->diverged)
            return error_set(err, STATUS_CONFIG, NULL,
                             "the loss of epoch %d is not finite; lower --lr or set --grad-clip", epoch + 1);
    }
    return STATUS_OK;
}

/* Logs an epoch of every run that still trains. best: it may be the best epoch so far. */
static enum status note_epoch(struct fit *fit, struct run_epoch *rows, const bool *out_of_patience, bool best,
                              struct error *err)
{
    enum status status = STATUS_OK;
    for (int k = 0; k < fit->count; k++) {
        if (out_of_patience[k])
            continue;
        if (best)
            TRY(keep_best(fit, k, &rows[k], err));
        TRY(run_log_epoch(fit->runs[k].log, &rows[k], err));
    }
cleanup:
    return status;
}

/* Writes the last weights of the runs that have just ended; all: of every run that still trains. */
static enum status keep_last(struct fit *fit, const bool *out_of_patience, bool all, struct error *err)
{
    enum status status = STATUS_OK;
    for (int k = 0; k < fit->count; k++) {
        struct fit_run *run = &fit->runs[k];
        if (out_of_patience[k] || !(all || fit_run_out_of_patience(run, &fit->state, k)))
            continue;
        TRY(publish_best(run, err));
        TRY(trainer_weights(&fit->trainer, k, &run->student.graph, err));
        TRY(run_publish_weights(&run->student.graph, run->options.out, "last.safetensors", err));
    }
cleanup:
    return status;
}

static enum status one_epoch(struct fit *fit, int epoch, const bool *out_of_patience, struct error *err)
{
    enum status status = STATUS_OK;
    const struct fit_options *options = &fit->runs[0].options;
    struct run_epoch rows[TRAINING_MAX_STUDENTS];
    const bool due =
        (epoch + 1) % options->eval_every == 0 || epoch + 1 == options->epochs || epoch == options->qat_after;
    const double start = clock_seconds();
    for (int k = 0; k < fit->count; k++)
        rows[k] = (struct run_epoch){.epoch = epoch + 1, .val_loss = NAN, .val_accuracy = NAN, .agreement = NAN};
    TRY(fit_set_form(fit, epoch, false, err));
    TRY(train(fit, epoch, rows, err));
    if (fit->data->validates && due) {
        TRY(fit_set_form(fit, epoch, true, err));
        TRY(validate(fit, rows, err));
    }
    const double seconds = clock_seconds() - start;
    for (int k = 0; k < fit->count; k++)
        rows[k].seconds = seconds;
    fit->state.epoch = epoch + 1;
    fit->state.seconds += seconds;
    fit->state.images += fit->data->train.count;
    TRY(note_epoch(fit, rows, out_of_patience, !fit->data->validates || due, err));
    TRY(keep_last(fit, out_of_patience, false, err));
    if (clock_seconds() - fit->saved >= SAVE_SECONDS)
        TRY(save(fit, err));
cleanup:
    return status;
}

enum status fit_loop(struct fit *fit, struct error *err)
{
    const struct fit_options *options = &fit->runs[0].options;
    const size_t images = fit->data->train.count;
    const double start = clock_seconds();
    enum status status = STATUS_OK;
    bool out_of_patience[TRAINING_MAX_STUDENTS];
    progress_begin(fit->progress, "train", "images", images * (size_t)options->epochs,
                   images * (size_t)fit->state.epoch);
    for (int epoch = fit->state.epoch;; epoch++) {
        const bool late =
            options->time_limit > 0 && fit->state.epoch > 0 && clock_seconds() - start >= options->time_limit;
        bool all = true;
        for (int k = 0; k < fit->count; k++) {
            out_of_patience[k] = fit_run_out_of_patience(&fit->runs[k], &fit->state, k);
            fit->runs[k].early =
                (out_of_patience[k] || late) && fit_run_epochs(&fit->runs[k], &fit->state, k) < options->epochs;
            all = all && out_of_patience[k];
        }
        fit->paused = fit->pause_after > 0 && epoch >= fit->pause_after && epoch < options->epochs;
        if (all || late || fit->paused || epoch >= options->epochs)
            break;
        TRY(one_epoch(fit, epoch, out_of_patience, err));
    }
    TRY(save(fit, err));
    if (!fit->paused)
        TRY(keep_last(fit, out_of_patience, true, err));
cleanup:
    progress_end(fit->progress);
    return status;
}
