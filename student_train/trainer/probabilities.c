#include "student_train/trainer/probabilities.h"

#include <math.h>

size_t probabilities_class(const float *row, size_t classes)
{
    size_t best = 0;
    for (size_t k = 1; k < classes; k++)
        best = row[k] > row[best] ? k : best;
    return best;
}

void probabilities_softmax(float *rows, size_t count, size_t classes)
{
    for (float *row = rows; count > 0; count--, row += classes) {
        const double highest = (double)row[probabilities_class(row, classes)];
        double sum = 0;
        for (size_t k = 0; k < classes; k++)
            sum += exp((double)row[k] - highest);
        for (size_t k = 0; k < classes; k++)
            row[k] = (float)(exp((double)row[k] - highest) / sum);
    }
}

size_t probabilities_average(float *rows, const float *others, size_t count, size_t classes)
{
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        float *row = rows + i * classes;
        const size_t before = probabilities_class(row, classes);
        for (size_t k = 0; k < classes; k++)
            row[k] = (row[k] + others[i * classes + k]) / 2;
        changed += probabilities_class(row, classes) != before;
    }
    return changed;
}
