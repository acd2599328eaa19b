#include "student_train/trainer/student_opinions.h"

#include <math.h>
#include <string.h>

/* Probabilities of 0 in float arithmetic are not 0: the divergence stays finite. */
static const double SMALLEST = 1e-12;

static double divergence(const double *teacher, const double *student, int classes)
{
    double sum = 0;
    for (int c = 0; c < classes; c++)
        if (teacher[c] > 0)
            sum += teacher[c] * log(teacher[c] / fmax(student[c], SMALLEST));
    return sum;
}

/* Equal ones stay in the order in which they come. */
static void keep(struct student_opinions *opinions, const struct disagreement *next)
{
    int at = opinions->count;
    while (at > 0 && opinions->most[at - 1].divergence < next->divergence)
        at--;
    if (at == OPINIONS_KEPT)
        return;
    opinions->count += opinions->count < OPINIONS_KEPT;
    memmove(&opinions->most[at + 1], &opinions->most[at],
            (size_t)(opinions->count - 1 - at) * sizeof opinions->most[at]);
    opinions->most[at] = *next;
}

void student_opinions_add(struct student_opinions *opinions, const struct dataset *dataset, uint32_t sample,
                          const float *logits, int classes, double *scratch)
{
    const int label = dataset->labels[sample];
    double *student = scratch, *teacher = scratch + classes;
    float *taught = (float *)(void *)(scratch + 2 * (ptrdiff_t)classes);
    cache_probabilities(logits, classes, student);
    struct disagreement next = {.sample = sample, .student = photo_answer_of("student", student, classes)};
    if (label >= 0)
        reliability_add(&opinions->student, next.student.probabilities[0], next.student.classes[0] == label);
    if (!dataset_has_teacher(dataset, true))
        return;
    dataset_teacher(dataset, sample, CACHE_EVALUATION_VIEW, taught);
    cache_probabilities(taught, classes, teacher);
    next.teacher = photo_answer_of("teacher", teacher, classes);
    if (label >= 0)
        reliability_add(&opinions->teacher, next.teacher.probabilities[0], next.teacher.classes[0] == label);
    next.divergence = divergence(teacher, student, classes);
    if (next.student.classes[0] != next.teacher.classes[0])
        keep(opinions, &next);
}
