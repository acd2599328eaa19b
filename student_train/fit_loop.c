#include "student_train/fit.h"

#include "shared/base/clock.h"
#include <math.h>

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

/* What makes an epoch the best: accuracy, without labels agreement with the teacher, without a validation split being
 * the last. */
static double score(const struct fit *fit, const struct run_epoch *row)
{
    return !fit->validates ? row->epoch : isfinite(row->val_accuracy) ? row->val_accuracy : row->agreement;
}

static enum status validate(struct fit *fit, struct run_epoch *row, struct error *err)
{
    struct totals totals;
    enum status status = trainer_evaluate(&fit->trainer, &fit->validation, true, NULL, &totals, err);
    if (status != STATUS_OK)
        return status;
    row->val_loss = share(totals.sums[METRIC_LOSS], totals.sums[METRIC_SAMPLES]);
    row->val_accuracy = share(totals.sums[METRIC_CORRECT], totals.sums[METRIC_LABELLED]);
    if (totals.teacher)
        row->agreement = share(totals.sums[METRIC_AGREE], totals.sums[METRIC_SAMPLES]);
    return STATUS_OK;
}

static enum status keep_best(struct fit *fit, const struct run_epoch *row, struct error *err)
{
    enum status status = STATUS_OK;
    if (fit->state.best_epoch > 0 && !(score(fit, row) > fit->state.best_score))
        return STATUS_OK;
    fit->state.best_epoch = row->epoch;
    fit->state.best_score = isfinite(score(fit, row)) ? score(fit, row) : 0;
    TRY(trainer_weights(&fit->trainer, 0, &fit->student.graph, err));
    TRY(run_publish_weights(&fit->student.graph, fit->options.out, "best.safetensors", err));
cleanup:
    return status;
}

static enum status train(struct fit *fit, int epoch, struct run_epoch *row, struct error *err)
{
    struct totals totals;
    const uint32_t room = (uint32_t)fit->options.batch, steps = (fit->train.count + room - 1) / room;
    const double start = clock_seconds();
    enum status status = trainer_epoch(&fit->trainer, &fit->train, epoch, &fit->progress, &totals, err);
    if (status != STATUS_OK)
        return status;
    row->learning_rate = schedule_rate(&fit->options.schedule, epoch, steps - 1, steps);
    row->train_loss = share(totals.sums[METRIC_LOSS], totals.sums[METRIC_SAMPLES]);
    for (int i = 0; i < fit->loss.count; i++)
        row->terms[i] = share(totals.sums[METRIC_TERMS + i], totals.sums[METRIC_SAMPLES]);
    row->train_accuracy = share(totals.sums[METRIC_CORRECT], totals.sums[METRIC_LABELLED]);
    row->images_per_second = fit->train.count / (clock_seconds() - start);
    if (!isfinite(row->train_loss))
        return error_set(err, STATUS_CONFIG, NULL, "the loss of epoch %d is not finite; lower --lr or set --grad-clip",
                         epoch + 1);
    return STATUS_OK;
}

static enum status one_epoch(struct fit *fit, int epoch, struct error *err)
{
    enum status status = STATUS_OK;
    struct run_epoch row = {.epoch = epoch + 1, .val_loss = NAN, .val_accuracy = NAN, .agreement = NAN};
    const bool due = (epoch + 1) % fit->options.eval_every == 0 || epoch + 1 == fit->options.epochs;
    const double start = clock_seconds();
    TRY(train(fit, epoch, &row, err));
    if (fit->validates && due)
        TRY(validate(fit, &row, err));
    if (!fit->validates || due)
        TRY(keep_best(fit, &row, err));
    row.seconds = clock_seconds() - start;
    fit->state.epoch = epoch + 1;
    fit->state.seconds += row.seconds;
    fit->state.images += fit->train.count;
    TRY(run_log_epoch(fit->log, &row, err));
    TRY(run_log_sync(fit->log, err));
    TRY(checkpoint_write(fit->checkpoint, &fit->trainer, &fit->state, fit->identity, err));
cleanup:
    return status;
}

enum status fit_loop(struct fit *fit, struct error *err)
{
    const struct fit_options *options = &fit->options;
    const size_t images = fit->train.count;
    const double start = clock_seconds();
    enum status status = STATUS_OK;
    progress_begin(&fit->progress, "train", "images", images * (size_t)options->epochs,
                   images * (size_t)fit->state.epoch);
    for (int epoch = fit->state.epoch; epoch < options->epochs; epoch++) {
        const int since_best = fit->state.epoch - fit->state.best_epoch;
        const bool tired = options->patience > 0 && fit->state.best_epoch > 0 && since_best >= options->patience;
        const bool late = options->time_limit > 0 && epoch > 0 && clock_seconds() - start >= options->time_limit;
        fit->early = tired || late;
        if (fit->early)
            break;
        TRY(one_epoch(fit, epoch, err));
    }
cleanup:
    progress_end(&fit->progress);
    return status;
}
