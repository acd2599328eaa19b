/* How good the teaching of a cache is: what is counted when a shard is written, and what follows from it. */
#include "formats/cache/cache.h"

#include "formats/cache/manifest.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

double cache_probabilities(const float *logits, int classes, double *probabilities)
{
    double largest = -INFINITY, sum = 0, weighted = 0;
    for (int k = 0; k < classes; k++)
        largest = fmax(largest, (double)logits[k]);
    for (int k = 0; k < classes; k++) {
        const double z = (double)logits[k] - largest;
        probabilities[k] = exp(z);
        sum += probabilities[k];
        weighted += probabilities[k] * z;
    }
    for (int k = 0; k < classes; k++)
        probabilities[k] /= sum;
    return sum > 0 ? log(sum) - weighted / sum : 0;
}

double cache_deviation(double squares, int classes)
{
    const double mean = 1.0 / classes; /* of probabilities, over the classes */
    return sqrt(fmax(0, squares / classes - mean * mean));
}

double cache_sure_deviation(int classes)
{
    return cache_deviation(1, classes);
}

/* Sums with six decimals, so that the last bits of a library's exp() are in no file. */
static double rounded(double sum)
{
    return round(sum * 1e6) / 1e6;
}

/* Adds one view: its probabilities to means[classes]; returns whether its largest logit (ties: the smaller class) is
 * the label's, which none is for label -1. */
static bool add_view(const float *logits, int classes, int label, double *probabilities, double *means, double *entropy)
{
    int best = 0;
    *entropy += cache_probabilities(logits, classes, probabilities);
    for (int c = 0; c < classes; c++) {
        means[c] += probabilities[c];
        best = logits[c] > logits[best] ? c : best;
    }
    return best == label;
}

static double squares_of(const double *sums, int classes, int views)
{
    double squares = 0;
    for (int c = 0; c < classes; c++)
        squares += sums[c] / views * (sums[c] / views);
    return squares;
}

enum status cache_teaching_count(const struct cache_manifest *manifest, const struct cache_shard *shard,
                                 struct cache_shard_entry *entry, struct error *err)
{
    const bool teacher = cache_has_teacher(manifest);
    const int classes = manifest->class_count;
    double squares = 0, entropy = 0;
    float *logits = malloc((size_t)classes * sizeof *logits);
    double *values = malloc(2 * (size_t)classes * sizeof *values);
    if (!logits || !values) {
        free(logits);
        free(values);
        return error_no_memory(err, 2 * (size_t)classes * sizeof *values, "probabilities");
    }
    double *sums = values + classes;
    entry->labelled = entry->correct = 0;
    for (uint32_t i = 0; i < shard->count; i++) {
        memset(sums, 0, (size_t)classes * sizeof *sums);
        entry->labelled += shard->labels[i] >= 0 ? (uint64_t)shard->views : 0;
        for (int v = 0; v < shard->views && teacher; v++) {
            cache_logits(manifest, shard, i, v, logits);
            entry->correct += add_view(logits, classes, shard->labels[i], values, sums, &entropy);
        }
        squares += squares_of(sums, classes, shard->views);
    }
    entry->probability_squares = teacher ? rounded(squares) : -1;
    entry->entropy = teacher ? rounded(entropy) : -1;
    free(logits);
    free(values);
    return STATUS_OK;
}

void cache_teaching(const struct cache_manifest *manifest, struct cache_teaching *teaching)
{
    const struct cache_split *split = &manifest->splits[SPLIT_TRAIN];
    double squares = 0, entropy = 0;
    bool known = split->samples > 0 && cache_has_teacher(manifest);
    *teaching = (struct cache_teaching){.entropy = -1, .deviation = -1};
    for (int i = 0; i < split->shard_count; i++) {
        const struct cache_shard_entry *entry = &split->shards[i];
        teaching->labelled += entry->labelled;
        teaching->correct += entry->correct;
        known = known && entry->entropy >= 0 && entry->probability_squares >= 0;
        squares += entry->probability_squares;
        entropy += entry->entropy;
    }
    if (!known)
        return;
    teaching->entropy = entropy / ((double)split->samples * split->views);
    teaching->deviation = cache_deviation(squares / split->samples, manifest->class_count);
}
