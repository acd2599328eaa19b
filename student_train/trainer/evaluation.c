#include "student_train/trainer/evaluation.h"

#include "student_train/trainer/probabilities.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static bool in_part(enum evaluation_part part, uint32_t sample)
{
    return part == PART_ALL || sample % 2 == (part == PART_ODD);
}

static void count_part(const struct dataset *dataset, enum evaluation_part part, uint32_t *samples, uint32_t *labelled)
{
    *samples = *labelled = 0;
    for (uint32_t i = 0; i < dataset->count; i++) {
        *samples += in_part(part, i);
        *labelled += in_part(part, i) && dataset->labels[i] >= 0;
    }
}

enum status evaluation_score(const struct dataset *dataset, int classes, const int32_t *predictions,
                             enum evaluation_part part, double *accuracy, double *agreement, struct error *err)
{
    const bool teacher = dataset_has_teacher(dataset, true);
    uint32_t samples, labelled, right = 0, agreed = 0;
    float *logits = calloc((size_t)classes, sizeof *logits);
    if (!logits)
        return error_no_memory(err, (size_t)classes * sizeof *logits, "an evaluation");
    count_part(dataset, part, &samples, &labelled);
    for (uint32_t i = 0; i < dataset->count; i++) {
        if (!in_part(part, i))
            continue;
        right += dataset->labels[i] >= 0 && predictions[i] == dataset->labels[i];
        if (teacher) {
            dataset_teacher(dataset, i, CACHE_EVALUATION_VIEW, logits);
            agreed += predictions[i] == (int32_t)probabilities_class(logits, (size_t)classes);
        }
    }
    *accuracy = share(right, labelled);
    *agreement = teacher ? share(agreed, samples) : NAN;
    free(logits);
    return STATUS_OK;
}

/* The teacher's accuracy on the evaluation views, from its logits in the cache. */
static enum status measure_teacher(struct evaluation *evaluation, const struct dataset *dataset, struct error *err)
{
    const size_t classes = (size_t)evaluation->classes;
    enum status status = STATUS_OK;
    uint32_t *counts = calloc(2 * classes, sizeof *counts), right = 0;
    float *logits = calloc(classes, sizeof *logits);
    if (!counts || !logits)
        FAIL(error_no_memory(err, 2 * classes * sizeof *counts, "counts of classes"));
    for (uint32_t i = 0; dataset_has_teacher(dataset, true) && i < dataset->count; i++) {
        if (dataset->labels[i] < 0 || !in_part(evaluation->part, i))
            continue;
        dataset_teacher(dataset, i, CACHE_EVALUATION_VIEW, logits);
        bool hit = (int32_t)probabilities_class(logits, classes) == dataset->labels[i];
        right += hit;
        counts[dataset->labels[i]]++;
        counts[classes + (size_t)dataset->labels[i]] += hit;
    }
    if (dataset->split != SPLIT_TRAIN && cache_has_teacher(&dataset->cache->manifest))
        evaluation->teacher_accuracy = share(right, evaluation->labelled);
    for (size_t k = 0; k < classes; k++)
        evaluation->teacher_class_accuracy[k] = share(counts[classes + k], counts[k]);
cleanup:
    free(counts);
    free(logits);
    return status;
}

static void count_confusion(struct evaluation *evaluation, const struct dataset *dataset)
{
    const size_t classes = (size_t)evaluation->classes;
    for (uint32_t i = 0; i < dataset->count; i++)
        if (dataset->labels[i] >= 0 && in_part(evaluation->part, i))
            evaluation->confusion[(size_t)dataset->labels[i] * classes + (size_t)evaluation->predictions[i]]++;
    for (size_t k = 0; k < classes; k++) {
        double row = 0;
        for (size_t j = 0; j < classes; j++)
            row += evaluation->confusion[k * classes + j];
        evaluation->class_accuracy[k] = share(evaluation->confusion[k * classes + k], row);
    }
}

static enum status init(struct evaluation *evaluation, int class_count, const struct dataset *dataset,
                        enum evaluation_part part, struct error *err)
{
    const size_t classes = (size_t)class_count;
    *evaluation =
        (struct evaluation){.split = dataset->split, .part = part, .classes = class_count, .teacher_accuracy = NAN};
    count_part(dataset, part, &evaluation->samples, &evaluation->labelled);
    evaluation->predictions = calloc(dataset->count, sizeof *evaluation->predictions);
    evaluation->confusion = calloc(classes * classes, sizeof *evaluation->confusion);
    evaluation->class_accuracy = calloc(classes, sizeof *evaluation->class_accuracy);
    evaluation->teacher_class_accuracy = calloc(classes, sizeof *evaluation->teacher_class_accuracy);
    if (!evaluation->predictions || !evaluation->confusion || !evaluation->class_accuracy ||
        !evaluation->teacher_class_accuracy)
        return error_no_memory(err, classes * classes * sizeof *evaluation->confusion, "an evaluation");
    return STATUS_OK;
}

/* What a pass over the evaluation images is read for. */
struct opinion_reader {
    struct evaluation *evaluations; /* [students] */
    const struct dataset *dataset;
    enum evaluation_part part;
    int classes;
    double *scratch; /* [3 * classes] */
};

static void read_opinions(void *context, int student, uint32_t first, int count, const float *logits)
{
    const struct opinion_reader *reader = context;
    for (int i = 0; i < count; i++, logits += reader->classes)
        if (in_part(reader->part, first + (uint32_t)i))
            student_opinions_add(&reader->evaluations[student].opinions, reader->dataset, first + (uint32_t)i, logits,
                                 reader->classes, reader->scratch);
}

enum status evaluation_run(struct evaluation *evaluations, struct trainer *trainer, const struct dataset *dataset,
                           enum evaluation_part part, struct error *err)
{
    enum status status = STATUS_OK;
    const int students = trainer->student_count;
    struct totals totals[TRAINING_MAX_STUDENTS];
    int32_t *predictions = calloc(size_mul((size_t)students, dataset->count), sizeof *predictions);
    double *scratch = calloc((size_t)trainer->classes, 3 * sizeof *scratch);
    struct opinion_reader opinions = {evaluations, dataset, part, trainer->classes, scratch};
    const struct logits_reader reader = {read_opinions, &opinions};
    memset(evaluations, 0, (size_t)students * sizeof *evaluations);
    if (!predictions || !scratch)
        FAIL(error_no_memory(err, dataset->count * sizeof *predictions, "an evaluation"));
    for (int k = 0; k < students; k++)
        TRY(init(&evaluations[k], trainer->classes, dataset, part, err));
    TRY(trainer_evaluate(trainer, dataset, true, predictions, totals, &reader, err));
    for (int k = 0; k < students; k++) {
        struct evaluation *e = &evaluations[k];
        memcpy(e->predictions, predictions + (size_t)k * dataset->count, dataset->count * sizeof *predictions);
        e->loss = part == PART_ALL ? totals_loss(&totals[k]) : NAN;
        e->accuracy = totals_accuracy(&totals[k]);
        e->agreement = totals_agreement(&totals[k]);
        if (part != PART_ALL)
            TRY(evaluation_score(dataset, trainer->classes, e->predictions, part, &e->accuracy, &e->agreement, err));
        count_confusion(e, dataset);
        TRY(measure_teacher(e, dataset, err));
    }
cleanup:
    free(predictions);
    free(scratch);
    for (int k = 0; status != STATUS_OK && k < students; k++)
        evaluation_release(&evaluations[k]);
    return status;
}

/* The softmax of the logits of all images, as they are or mirrored. */
static enum status classify(struct trainer *trainer, struct dataset *dataset, bool mirrored, float *rows,
                            struct error *err)
{
    dataset->mirrored = mirrored;
    const enum status status = trainer_logits(trainer, dataset, rows, err);
    dataset->mirrored = false;
    if (status == STATUS_OK)
        probabilities_softmax(rows, dataset->count, (size_t)trainer->classes);
    return status;
}

enum status evaluation_probabilities(struct trainer *trainer, struct dataset *dataset, bool mirrored, float *rows,
                                     size_t *changed, struct error *err)
{
    const size_t classes = (size_t)trainer->classes;
    enum status status = STATUS_OK;
    float *others = NULL;
    TRY(classify(trainer, dataset, false, rows, err));
    *changed = 0;
    if (mirrored) {
        others = calloc(dataset->count, classes * sizeof *others);
        if (!others)
            FAIL(error_no_memory(err, size_mul(dataset->count, classes * sizeof *others), "an evaluation"));
        TRY(classify(trainer, dataset, true, others, err));
        *changed = probabilities_average(rows, others, dataset->count, classes);
    }
cleanup:
    free(others);
    return status;
}

enum status evaluation_mirror(struct evaluation *evaluation, struct trainer *trainer, struct dataset *dataset,
                              struct error *err)
{
    const size_t classes = (size_t)trainer->classes;
    const bool teacher = dataset_has_teacher(dataset, true);
    enum status status = STATUS_OK;
    uint32_t right = 0, agreed = 0;
    float *rows = calloc(dataset->count, classes * sizeof *rows), *logits = calloc(classes, sizeof *logits);
    if (!rows || !logits)
        FAIL(error_no_memory(err, size_mul(dataset->count, classes * sizeof *rows), "an evaluation"));
    TRY(evaluation_probabilities(trainer, dataset, true, rows, &evaluation->mirrored_changed, err));
    for (uint32_t i = 0; i < dataset->count; i++) {
        const size_t found = probabilities_class(rows + i * classes, classes);
        right += dataset->labels[i] >= 0 && found == (size_t)dataset->labels[i];
        if (teacher) {
            dataset_teacher(dataset, i, CACHE_EVALUATION_VIEW, logits);
            agreed += found == probabilities_class(logits, classes);
        }
    }
    evaluation->mirrored = true;
    evaluation->mirrored_accuracy = share(right, dataset->labelled);
    evaluation->mirrored_agreement = teacher ? share(agreed, dataset->count) : NAN;
cleanup:
    free(rows);
    free(logits);
    return status;
}

void evaluation_release(struct evaluation *evaluation)
{
    free(evaluation->predictions);
    free(evaluation->confusion);
    free(evaluation->class_accuracy);
    free(evaluation->teacher_class_accuracy);
    *evaluation = (struct evaluation){0};
}
