/* What the steps of an epoch read: samples and views in their order, labels, the teacher's logits, learning rates. */
#include "student_train/trainer/trainer.h"

#include "student_train/trainer/epoch_order.h"
#include <math.h>
#include <stdlib.h>

enum { CHUNK = 64 /* slots per task */ };

/* Fills slots of a content, on all threads. */
struct fill {
    const struct dataset *dataset;
    struct epoch_content *content;
    const uint32_t *order; /* NULL: the evaluation views in the samples' order */
    const struct trainer_options *options;
    uint32_t epoch;
};

/* The other picture of a mixed view. */
static void fill_partner(const struct dataset *dataset, struct epoch_content *content, uint32_t i, int number)
{
    dataset_mix(dataset, content->samples[i], number, &content->mixes[i], &content->partners[i]);
    content->partner_labels[i] = dataset->labels[content->partners[i]];
    dataset_view(dataset, content->partners[i], number, &content->partner_views[i]);
}

static void fill_chunk(void *context, int index, int worker)
{
    const struct fill *fill = context;
    const struct dataset *dataset = fill->dataset;
    struct epoch_content *content = fill->content;
    const uint32_t first = (uint32_t)index * CHUNK;
    const uint32_t end = dataset->count - first < CHUNK ? dataset->count : first + CHUNK;
    (void)worker;
    for (uint32_t i = first; i < end; i++) {
        const uint32_t sample = fill->order ? fill->order[i] : i;
        const int number = fill->order ? epoch_view(sample, dataset->views, fill->options->seed, fill->epoch,
                                                    fill->options->sequential)
                                       : CACHE_EVALUATION_VIEW;
        content->samples[i] = sample;
        content->numbers[i] = (uint32_t)(number < 0 ? 0 : number);
        content->labels[i] = dataset->labels[sample];
        dataset_view(dataset, sample, number, &content->views[i]);
        if (content->mixes)
            fill_partner(dataset, content, i, number);
        if (content->teacher)
            dataset_teacher(dataset, sample, number, content->teacher + (size_t)i * (size_t)content->classes);
    }
}

static void fill_slots(const struct fill *fill)
{
    thread_pool_run(fill->dataset->compute->pool, (int)((fill->dataset->count + CHUNK - 1) / CHUNK), fill_chunk,
                    (void *)(uintptr_t)fill);
}

/* How many of the `count` slots from `first` on have views with what a term needs; these slots come first. */
static uint32_t count_rows(const struct trainer *trainer, const struct epoch_content *content, uint32_t first,
                           uint32_t count, int term)
{
    const int views = trainer->binding.views[term];
    uint32_t rows = 0;
    while (rows < count && content->numbers[first + rows] < (uint32_t)views)
        rows++;
    return rows;
}

/* slots: of the whole pass; the last step may have fewer slots than a batch. */
static void fill_terms(const struct trainer *trainer, const struct epoch_content *content, uint32_t slots, int student,
                       int epoch, uint32_t step, struct step_scalars *scalars)
{
    const struct loss_expression *loss = trainer->students[student].loss;
    const uint32_t capacity = (uint32_t)content->batch, first = step * capacity;
    const uint32_t count = slots - first < capacity ? slots - first : capacity;
    for (int i = 0; i < loss->count; i++) {
        scalars->weights[i] = loss_term_weight(&loss->terms[i], epoch);
        scalars->rows[i] = trainer->binding.partial ? count_rows(trainer, content, first, count, i) : count;
    }
}

/* Sorts the slots of every step by view number; slots with the same number keep their order. */
static void order_by_view(const struct trainer *trainer, const struct dataset *dataset, int epoch)
{
    const struct trainer_options *options = trainer->options;
    const uint32_t capacity = (uint32_t)options->batch;
    uint32_t *numbers = trainer->content.numbers, *old = trainer->content.samples; /* used as scratch; filled later */
    for (uint32_t i = 0; i < dataset->count; i++) {
        old[i] = trainer->order[i];
        numbers[i] = (uint32_t)epoch_view(old[i], dataset->views, options->seed, (uint32_t)epoch, options->sequential);
    }
    for (uint32_t first = 0; first < dataset->count; first += capacity) {
        const uint32_t end = dataset->count - first < capacity ? dataset->count : first + capacity;
        uint32_t *to = trainer->order + first;
        for (uint32_t number = 0; number < (uint32_t)dataset->views; number++)
            for (uint32_t i = first; i < end; i++)
                if (numbers[i] == number)
                    *to++ = old[i];
    }
}

static void fill_scalars(const struct trainer *trainer, struct epoch_content *content, uint32_t slots, int epoch)
{
    const struct optimizer *optimizer = &trainer->options->optimizer;
    const uint32_t capacity = (uint32_t)content->batch, steps = (slots + capacity - 1) / capacity;
    for (uint32_t s = 0; s < steps; s++)
        for (int k = 0; k < trainer->student_count; k++) {
            const struct trainer_student *student = &trainer->students[k];
            struct step_scalars *scalars = &content->scalars[(size_t)s * (size_t)trainer->student_count + (size_t)k];
            scalars->seed = student->seed;
            scalars->step = trainer->step + s;
            scalars->learning_rate = schedule_rate(&student->schedule, epoch, s, steps);
            scalars->correction1 = 1 - pow(optimizer->beta1, (double)(scalars->step + 1));
            scalars->root_correction2 = sqrt(1 - pow(optimizer->beta2, (double)(scalars->step + 1)));
            fill_terms(trainer, content, slots, k, epoch, s, scalars);
        }
}

static enum status reserve(struct trainer *trainer, const struct dataset *dataset, struct error *err)
{
    const struct compute *compute = trainer->compute;
    const uint32_t count = dataset->count;
    const unsigned parts =
        (dataset_has_teacher(dataset, false) ? EPOCH_TEACHER : 0) | (dataset_mixes(dataset) ? EPOCH_MIXES : 0);
    enum status status = STATUS_OK;
    if (trainer->order_capacity == count && !trainer->content.teacher == !(parts & EPOCH_TEACHER) &&
        !trainer->content.mixes == !(parts & EPOCH_MIXES))
        return STATUS_OK;
    trainer_captures_release(trainer);
    epoch_inputs_release(&trainer->inputs, compute->backend->device, compute->device);
    epoch_content_release(&trainer->content);
    free(trainer->order);
    trainer->order_capacity = 0;
    trainer->order = calloc(count, sizeof *trainer->order);
    if (!trainer->order)
        FAIL(error_no_memory(err, count * sizeof *trainer->order, "the order of an epoch"));
    TRY(epoch_content_init(&trainer->content, count, trainer->options->batch, trainer->student_count, trainer->classes,
                           parts, err));
    TRY(epoch_inputs_init(&trainer->inputs, compute->backend->device, compute->device, &trainer->content, err));
    trainer->order_capacity = count;
cleanup:
    return status;
}

enum status trainer_prepare(struct trainer *trainer, const struct dataset *dataset, int epoch, struct error *err)
{
    enum status status = STATUS_OK;
    if (trainer->prepared_for != dataset || trainer->prepared != epoch) {
        trainer->prepared_for = NULL;
        TRY(reserve(trainer, dataset, err));
        epoch_order(trainer->order, dataset->count, trainer->options->seed, (uint32_t)epoch,
                    trainer->options->sequential);
        if (trainer->binding.partial)
            order_by_view(trainer, dataset, epoch);
        const struct fill fill = {dataset, &trainer->content, trainer->order, trainer->options, (uint32_t)epoch};
        fill_slots(&fill);
        trainer->prepared_for = dataset;
        trainer->prepared = epoch;
    }
    fill_scalars(trainer, &trainer->content, dataset->count, epoch);
cleanup:
    return status;
}

enum status trainer_prepare_evaluation(struct trainer *trainer, const struct dataset *dataset, struct error *err)
{
    const struct compute *compute = trainer->compute;
    struct epoch_content content = {0};
    enum status status = STATUS_OK;

    if (trainer->evaluation_of == dataset && trainer->evaluation_mirrored == dataset->mirrored)
        return epoch_inputs_rewind(&trainer->evaluation, compute->backend->device, compute->device, err);
    trainer->evaluation_of = NULL;
    trainer_captures_release(trainer);
    epoch_inputs_release(&trainer->evaluation, compute->backend->device, compute->device);
    free(trainer->evaluation_samples);
    trainer->evaluation_samples = NULL;
    TRY(epoch_content_init(&content, dataset->count, trainer->options->batch, trainer->student_count, trainer->classes,
                           dataset_has_teacher(dataset, true) ? EPOCH_TEACHER : 0, err));
    TRY(epoch_inputs_init(&trainer->evaluation, compute->backend->device, compute->device, &content, err));
    const struct fill fill = {dataset, &content, NULL, trainer->options, 0};
    fill_slots(&fill);
    fill_scalars(trainer, &content, dataset->count, 0);
    TRY(epoch_inputs_upload(&trainer->evaluation, compute->backend->device, compute->device, &content, dataset->count,
                            err));
    trainer->evaluation_samples = content.samples;
    content.samples = NULL;
    trainer->evaluation_of = dataset;
    trainer->evaluation_mirrored = dataset->mirrored;
cleanup:
    epoch_content_release(&content);
    return status;
}

void trainer_epoch_release(struct trainer *trainer)
{
    epoch_inputs_release(&trainer->inputs, trainer->compute->backend->device, trainer->compute->device);
    epoch_inputs_release(&trainer->evaluation, trainer->compute->backend->device, trainer->compute->device);
    epoch_content_release(&trainer->content);
    free(trainer->order);
    free(trainer->evaluation_samples);
}
