/* Passes over a data set: a training epoch, an evaluation, predictions. */
#define _POSIX_C_SOURCE 200809L
#include "student_train/trainer/trainer.h"

#include "shared/base/interrupt.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

double totals_loss(const struct totals *totals)
{
    return share(totals->sums[METRIC_LOSS], totals->sums[METRIC_SAMPLES]);
}

double totals_term(const struct totals *totals, int term)
{
    return share(totals->sums[METRIC_TERMS + term], totals->sums[METRIC_ROWS + term]);
}

double totals_accuracy(const struct totals *totals)
{
    return share(totals->sums[METRIC_CORRECT], totals->sums[METRIC_LABELLED]);
}

double totals_agreement(const struct totals *totals)
{
    return totals->teacher ? share(totals->sums[METRIC_AGREE], totals->sums[METRIC_SAMPLES]) : NAN;
}

/* Downloads the metrics so far; waits for the device. */
static enum status fetch_totals(struct trainer *trainer, const struct epoch_inputs *inputs, struct totals *totals,
                                struct error *err)
{
    const struct compute *compute = trainer->compute;
    double sums[TRAINING_MAX_STUDENTS][METRIC_COUNT];
    const size_t bytes = (size_t)trainer->student_count * sizeof sums[0];
    enum status status = compute->backend->device->download(compute->device, sums, trainer->metrics, bytes, err);
    for (int k = 0; status == STATUS_OK && k < trainer->student_count; k++) {
        totals[k].teacher = inputs->teacher != NULL;
        for (int i = 0; i < METRIC_COUNT; i++)
            totals[k].sums[i] = sums[k][i];
    }
    return status;
}

/* Shows how far an epoch has come, from the device's mailbox. */
struct watch {
    struct progress *progress;
    size_t before; /* images of earlier epochs */
    int epoch, epochs;
    uint32_t images, capacity;
};

static void show(const struct trainer *trainer, const struct watch *watch)
{
    const struct mailbox *mailbox = trainer->mailbox;
    const uint64_t done = mailbox->steps * watch->capacity;
    char postfix[96] = "";
    if (mailbox->samples > 0)
        snprintf(postfix, sizeof postfix, "epoch %d/%d, loss %.4f", watch->epoch + 1, watch->epochs,
                 mailbox->loss / mailbox->samples);
    progress_update(watch->progress, watch->before + (done < watch->images ? (size_t)done : watch->images), postfix);
}

/* Waits until the device has finished everything that was requested. */
static enum status wait(struct trainer *trainer, const struct watch *watch, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const struct timespec nap = {.tv_nsec = 500000};
    enum status status = STATUS_OK;
    bool idle = false;
    for (;;) {
        TRY(compute->backend->device->idle(compute->device, &idle, err));
        show(trainer, watch);
        if (idle)
            break;
        if (interrupt_requested())
            return error_set(err, STATUS_INTERRUPTED, NULL, "stopped in epoch %d; continue with --resume",
                             watch->epoch + 1);
        nanosleep(&nap, NULL);
    }
cleanup:
    return status;
}

static struct pixel_source pixels_of(const struct dataset *dataset)
{
    return (struct pixel_source){dataset->images, dataset->cache_views.size,
                                 (float(*)[256])(uintptr_t)dataset->cache_views.table, dataset->features};
}

enum status trainer_epoch(struct trainer *trainer, const struct dataset *dataset, int epoch, struct progress *progress,
                          struct totals *totals, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const uint32_t capacity = (uint32_t)trainer->options->batch, steps = (dataset->count + capacity - 1) / capacity;
    const int epochs = trainer->students[0].schedule.epochs;
    const struct pixel_source source = pixels_of(dataset);
    const struct watch watch = {progress, progress->done, epoch, epochs, dataset->count, capacity};
    enum status status = STATUS_OK;
    TRY(trainer_prepare(trainer, dataset, epoch, err));
    TRY(epoch_inputs_upload(&trainer->inputs, backend->device, device, &trainer->content, dataset->count, err));
    TRY(backend->device->zero(device, trainer->metrics,
                              (size_t)trainer->student_count * METRIC_COUNT * sizeof *trainer->metrics, err));
    trainer->mailbox->steps = 0;
    trainer->mailbox->samples = 0;
    const uint32_t *partners = trainer->content.partners; /* NULL: nothing is mixed */
    for (uint32_t s = 0, first = 0; s < steps; s++, first += capacity) {
        const uint32_t left = dataset->count - first;
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "stopped in epoch %d; continue with --resume", epoch + 1));
        TRY(trainer_step(trainer, &source, &trainer->inputs, trainer->order + first, partners ? partners + first : NULL,
                         s, (int)(left < capacity ? left : capacity), true, err));
        show(trainer, &watch);
    }
    trainer->step += steps;
    if (epoch + 1 < epochs)
        TRY(trainer_prepare(trainer, dataset, epoch + 1, err));
    TRY(wait(trainer, &watch, err));
    TRY(fetch_totals(trainer, &trainer->inputs, totals, err));
cleanup:
    return status;
}

/* A student's logits of the step that was requested last; waits for the device. */
static enum status fetch_logits(const struct trainer *trainer, int student, int count, float *logits, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const float *from = network_logits(&trainer->network) + (size_t)student * network_logit_stride(&trainer->network);
    return compute->backend->device->download(compute->device, logits, from,
                                              (size_t)count * (size_t)trainer->classes * sizeof *logits, err);
}

/* logits[batch, classes] is scratch for the reader; both may be NULL. */
static enum status evaluate(struct trainer *trainer, const struct dataset *dataset, const struct logits_reader *reader,
                            float *logits, struct error *err)
{
    const uint32_t capacity = (uint32_t)trainer->options->batch;
    const struct pixel_source source = pixels_of(dataset);
    enum status status = STATUS_OK;
    for (uint32_t first = 0, s = 0; first < dataset->count; first += capacity, s++) {
        const uint32_t left = dataset->count - first;
        const int count = (int)(left < capacity ? left : capacity);
        TRY(trainer_step(trainer, &source, &trainer->evaluation, trainer->evaluation_samples + first, NULL, s, count,
                         false, err));
        for (int k = 0; reader && k < trainer->student_count; k++) {
            TRY(fetch_logits(trainer, k, count, logits, err));
            reader->read(reader->context, k, first, count, logits);
        }
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "stopped while evaluating"));
    }
cleanup:
    return status;
}

static enum status fetch_predictions(const struct trainer *trainer, const struct epoch_inputs *inputs, size_t count,
                                     int32_t *predictions, struct error *err)
{
    const struct compute *compute = trainer->compute;
    enum status status = STATUS_OK;
    for (size_t k = 0; k < (size_t)trainer->student_count; k++)
        TRY(compute->backend->device->download(compute->device, predictions + k * count,
                                               inputs->predictions + k * inputs->capacity, count * sizeof *predictions,
                                               err));
cleanup:
    return status;
}

enum status trainer_evaluate(struct trainer *trainer, const struct dataset *dataset, bool use_average,
                             int32_t *predictions, struct totals *totals, const struct logits_reader *reader,
                             struct error *err)
{
    const struct compute *compute = trainer->compute;
    const bool swap = use_average && trainer->memory.average;
    const size_t row = (size_t)trainer->classes * sizeof(float), rows = (size_t)trainer->options->batch;
    enum status status = STATUS_OK;
    float *logits = reader ? calloc(rows, row) : NULL;
    if (reader && !logits)
        return error_no_memory(err, size_mul(rows, row), "logits");
    if (swap)
        trainer_swap_average(trainer);
    TRY(trainer_prepare_evaluation(trainer, dataset, err));
    TRY(compute->backend->device->zero(compute->device, trainer->metrics,
                                       (size_t)trainer->student_count * METRIC_COUNT * sizeof *trainer->metrics, err));
    TRY(evaluate(trainer, dataset, reader, logits, err));
    TRY(fetch_totals(trainer, &trainer->evaluation, totals, err));
    if (predictions)
        TRY(fetch_predictions(trainer, &trainer->evaluation, dataset->count, predictions, err));
cleanup:
    free(logits);
    if (swap)
        trainer_swap_average(trainer);
    return status;
}

/* Copies the first student's logits to their places. */
struct logits_copy {
    float *logits; /* [dataset->count, classes] */
    size_t classes;
};

static void copy_logits(void *context, int student, uint32_t first, int count, const float *logits)
{
    const struct logits_copy *copy = context;
    if (student == 0)
        memcpy(copy->logits + first * copy->classes, logits, (size_t)count * copy->classes * sizeof *logits);
}

enum status trainer_logits(struct trainer *trainer, const struct dataset *dataset, float *logits, struct error *err)
{
    struct logits_copy copy = {logits, (size_t)trainer->classes};
    const struct logits_reader reader = {copy_logits, &copy};
    struct totals totals[TRAINING_MAX_STUDENTS];
    return trainer_evaluate(trainer, dataset, false, NULL, totals, &reader, err);
}

enum status trainer_predict(struct trainer *trainer, struct device_images *images, const struct epoch_content *content,
                            int count, int size, float table[3][256], float *logits, struct error *err)
{
    const struct backend *backend = trainer->compute->backend;
    struct device *device = trainer->compute->device;
    const struct pixel_source source = {images, size, table, NULL};
    struct epoch_inputs *inputs = &trainer->evaluation;
    enum status status = STATUS_OK;
    if (trainer->evaluation_of || inputs->capacity != content->capacity) {
        trainer->evaluation_of = NULL;
        epoch_inputs_release(inputs, backend->device, device);
        TRY(epoch_inputs_init(inputs, backend->device, device, content, err));
    }
    trainer_captures_release(trainer); /* captures are for other images */
    TRY(epoch_inputs_upload(inputs, backend->device, device, content, (size_t)count, err));
    TRY(trainer_step(trainer, &source, inputs, content->samples, NULL, 0, count, false, err));
    TRY(fetch_logits(trainer, 0, count, logits, err));
cleanup:
    return status;
}
