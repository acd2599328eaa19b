#include "student_train/quantise/quantised_student.h"

#include "shared/quantise/training_graph.h"
#include "student_train/trainer/probabilities.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHOOSING_PICTURES = 1024, SCORED_PICTURES = 10000 };

/* ---- scores ---- */

/* What the float network says, and what the integers say, about pictures: logits[count, classes]. */
struct answers {
    const struct pictures *pictures;
    const struct lowered *lowered;
    const struct int8_net *net; /* NULL: the float network runs */
    float (*normalised)[256];
    size_t classes;
    float *logits;
    struct memory_of_worker {
        float *input, *arena;
        int8_t *int8_arena, *int8_logits;
    } * workers;
};

static void answer(void *context, int index, int worker)
{
    const struct answers *a = context;
    const struct memory_of_worker *memory = &a->workers[worker];
    const uint8_t *pixels = a->pictures->set.pixels + (size_t)index * a->pictures->set.size;
    float *logits = a->logits + (size_t)index * a->classes;
    if (!a->net) {
        pixels_normalise(pixels, a->pictures->set.size, a->lowered->values[a->lowered->input].shape.c, a->normalised,
                         memory->input);
        lowered_run(a->lowered, memory->input, memory->arena, NULL, NULL, logits);
        return;
    }
    const struct int8_value scale = a->net->values[a->lowered->output];
    int8_run(a->net, pixels, memory->int8_arena, memory->int8_logits);
    for (size_t k = 0; k < a->classes; k++)
        logits[k] = scale.scale * (float)(memory->int8_logits[k] - scale.zero);
}

static enum status make_workers(struct answers *a, struct arena *arena, int count, struct error *err)
{
    const size_t values = a->lowered->arena_values;
    a->workers = arena_alloc(arena, (size_t)count, sizeof *a->workers);
    bool ok = a->workers;
    for (int k = 0; ok && k < count; k++) {
        struct memory_of_worker *memory = &a->workers[k];
        memory->input = arena_alloc(arena, a->pictures->set.size, sizeof(float));
        memory->arena = arena_alloc(arena, a->net ? 1 : values, sizeof(float));
        memory->int8_arena = arena_alloc(arena, values, 1);
        memory->int8_logits = arena_alloc(arena, a->classes, 1);
        ok = memory->input && memory->arena && memory->int8_arena && memory->int8_logits;
    }
    return ok ? STATUS_OK : error_no_memory(err, values, "a quantised student");
}

static enum status ask(const struct answers *answers, struct thread_pool *pool, struct error *err)
{
    struct answers own = *answers;
    struct arena arena = {0};
    const enum status status = make_workers(&own, &arena, pool ? thread_pool_size(pool) : 1, err);
    if (status == STATUS_OK)
        thread_pool_run(pool, (int)own.pictures->set.count, answer, &own);
    arena_release(&arena);
    return status;
}

static struct quantised_score score(const struct pictures *pictures, size_t classes, const float *expected,
                                    const float *found)
{
    const size_t count = pictures->set.count;
    struct quantised_score score = {.pictures = count};
    double right = 0, agreed = 0, error = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t class = (int32_t)probabilities_class(found + i * classes, classes);
        score.labelled += pictures->labels[i] >= 0;
        right += pictures->labels[i] >= 0 && class == pictures->labels[i];
        agreed += class == (int32_t)probabilities_class(expected + i * classes, classes);
        for (size_t k = i * classes; k < (i + 1) * classes; k++) {
            error += pow((double)found[k] - (double)expected[k], 2);
            sum += (double)expected[k];
            squares += (double)expected[k] * (double)expected[k];
        }
    }
    const double values = (double)(count * classes), variance = squares / values - pow(sum / values, 2);
    score.accuracy = score.labelled ? right / (double)score.labelled : NAN;
    score.agreement = agreed / (double)count;
    score.error = variance > 0 ? error / values / variance : NAN;
    return score;
}

/* Share of right answers; without labels, of those that are the float network's. */
static double right(const struct quantised_score *score)
{
    return score->labelled ? score->accuracy : score->agreement;
}

/* Among the candidates that are as good as the best one, but for a standard error (smaller differences of accuracy are
 * chance): the one for whose ranges the weights were trained, or the one with the smallest error of the logits. */
static int choose(const struct quantised_candidate *candidates, int count)
{
    int best = 0, chosen = -1;
    for (int i = 1; i < count; i++)
        if (right(&candidates[i].choosing) > right(&candidates[best].choosing))
            best = i;
    const struct quantised_score *most = &candidates[best].choosing;
    const double share = right(most), pictures = (double)(most->labelled ? most->labelled : most->pictures);
    const double enough = share - sqrt(share * (1 - share) / pictures);
    for (int i = 0; i < count; i++)
        if (right(&candidates[i].choosing) >= enough && candidates[i].trained)
            return i;
    for (int i = 0; i < count; i++)
        if (right(&candidates[i].choosing) >= enough &&
            (chosen < 0 || candidates[i].choosing.error < candidates[chosen].choosing.error))
            chosen = i;
    return chosen < 0 ? best : chosen;
}

/* ---- the search ---- */
struct search_state {
    struct quantised_student *student;
    const struct graph *graph, *trained;
    struct pictures calibrating, choosing;
    float normalised[3][256];
    struct thread_pool *pool;
    size_t classes;
    float *expected, *found; /* [pictures, classes] of those that choose, then of those that score */
    struct progress *progress;
};

static enum status score_net(struct search_state *s, const struct pictures *pictures, const struct lowered *lowered,
                             const struct int8_net *net, struct quantised_score *result, struct error *err)
{
    const struct answers answers = {pictures, lowered, net, s->normalised, s->classes, s->found, NULL};
    const enum status status = ask(&answers, s->pool, err);
    if (status == STATUS_OK)
        *result = score(pictures, s->classes, s->expected, s->found);
    return status;
}

static enum status expect(struct search_state *s, const struct pictures *pictures, const struct lowered *lowered,
                          struct error *err)
{
    const struct answers answers = {pictures, lowered, NULL, s->normalised, s->classes, s->expected, NULL};
    return ask(&answers, s->pool, err);
}

static enum status ranges_new(const struct lowered *lowered, struct value_range **ranges, struct error *err)
{
    *ranges = calloc((size_t)lowered->value_count, sizeof **ranges);
    return *ranges ? STATUS_OK
                   : error_no_memory(err, (size_t)lowered->value_count * sizeof **ranges, "a quantised student");
}

static enum status try_candidate(struct search_state *s, const struct lowered *lowered,
                                 const struct value_range *ranges, struct quantised_candidate candidate,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    struct quantised_student *student = s->student;
    struct int8_net net = {0};
    TRY(int8_net_init(&net, lowered, ranges, s->normalised, err));
    TRY(score_net(s, &s->choosing, lowered, &net, &candidate.choosing, err));
    student->candidates[student->candidate_count++] = candidate;
    progress_update(s->progress, (size_t)student->candidate_count, NULL);
cleanup:
    int8_net_release(&net);
    return status;
}

static enum status try_trained(struct search_state *s, const struct lowered *lowered, struct error *err)
{
    enum status status = STATUS_OK;
    struct value_range *ranges;
    TRY(ranges_new(lowered, &ranges, err));
    if (s->trained && training_graph_ranges(s->trained, lowered, ranges))
        TRY(try_candidate(s, lowered, ranges, (struct quantised_candidate){.trained = true}, err));
cleanup:
    free(ranges);
    return status;
}

/* Scores the three ranges of one form of the network. */
static enum status try_ranges(struct search_state *s, const struct calibration *calibration, bool equalised,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct value_range *ranges;
    TRY(ranges_new(calibration->lowered, &ranges, err));
    for (int m = 0; m < RANGE_METHOD_COUNT; m++) {
        const struct quantised_candidate candidate = {.method = (enum range_method)m, .equalised = equalised};
        calibration_ranges(calibration, candidate.method, ranges);
        TRY(try_candidate(s, calibration->lowered, ranges, candidate, err));
    }
cleanup:
    free(ranges);
    return status;
}

/* Makes the chosen candidate again, from the calibration of its form. */
static enum status keep(struct search_state *s, const struct calibration *calibration, struct error *err)
{
    enum status status = STATUS_OK;
    struct quantised_student *student = s->student;
    const struct quantised_candidate *chosen = &student->candidates[student->chosen];
    struct value_range *ranges;
    TRY(ranges_new(calibration->lowered, &ranges, err));
    if (!chosen->trained || !training_graph_ranges(s->trained, calibration->lowered, ranges))
        calibration_ranges(calibration, chosen->method, ranges);
    TRY(int8_net_init(&student->net, &student->lowered, ranges, s->normalised, err));
cleanup:
    free(ranges);
    return status;
}

/* Tries the network as it is and equalised; student->lowered is the form that was chosen (*plain is taken then). */
static enum status search(struct search_state *s, struct lowered *plain, struct error *err)
{
    enum status status = STATUS_OK;
    struct quantised_student *student = s->student;
    struct lowered equal = {0};
    struct calibration plain_seen = {0}, equal_seen = {0};
    struct graph equalised = {0};
    bool changed = false;
    TRY(expect(s, &s->choosing, plain, err));
    TRY(try_trained(s, plain, err));
    TRY(calibration_init(&plain_seen, plain, &s->calibrating.set, s->normalised, s->pool, err));
    TRY(try_ranges(s, &plain_seen, false, err));
    TRY(calibration_equalise(&plain_seen, &equalised, &changed, err));
    if (changed) {
        TRY(lowered_init(&equal, &equalised, err));
        TRY(calibration_init(&equal_seen, &equal, &s->calibrating.set, s->normalised, s->pool, err));
        TRY(try_ranges(s, &equal_seen, true, err));
    }
    student->chosen = choose(student->candidates, student->candidate_count);
    const bool take_equal = student->candidates[student->chosen].equalised;
    student->lowered = take_equal ? equal : *plain;
    *(take_equal ? &equal : plain) = (struct lowered){0};
    struct calibration *seen = take_equal ? &equal_seen : &plain_seen;
    seen->lowered = &student->lowered;
    TRY(keep(s, seen, err));
cleanup:
    calibration_release(&plain_seen);
    calibration_release(&equal_seen);
    graph_release(&equalised);
    lowered_release(&equal);
    return status;
}

/* How many candidates there will be at most. */
static size_t candidate_count(const struct graph *trained)
{
    for (int i = 0; trained && i < trained->node_count; i++) {
        const float *range =
            trained->nodes[i].op == OP_QUANTISE ? trained->weights[trained->nodes[i].weight].data : NULL;
        if (range && value_range_known((struct value_range){range[0], range[1]}))
            return QUANTISED_CANDIDATES;
    }
    return QUANTISED_CANDIDATES - 1;
}

/* Pictures, and room for what is said about them; those of before are released. */
static enum status take_pictures(struct search_state *s, struct pictures *pictures, const struct cache *cache,
                                 const struct picture_choice *choice, int size, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(pictures_load(pictures, cache, choice, size, s->pool, err));
    const size_t count = pictures->set.count;
    free(s->expected);
    free(s->found);
    s->expected = calloc(count, s->classes * sizeof *s->expected);
    s->found = calloc(count, s->classes * sizeof *s->found);
    if (!s->expected || !s->found)
        FAIL(error_no_memory(err, count * s->classes * sizeof *s->found, "a quantised student"));
cleanup:
    return status;
}

/* Calibrates and chooses. Pictures that score are loaded after these are released: they may be gigabytes. */
static enum status choose_student(struct search_state *s, const struct cache *cache, enum split held, int size,
                                  uint32_t views, struct error *err)
{
    enum status status = STATUS_OK;
    const enum split seen = cache->manifest.splits[SPLIT_TRAIN].samples > 0 ? SPLIT_TRAIN : held;
    /* never those at odd positions that are scored */
    const struct picture_choice calibrating = {seen, 0, seen == held ? 2 : 1, views, seen == SPLIT_TRAIN};
    const struct picture_choice choosing = {held, 0, 2, CHOOSING_PICTURES, false};
    struct lowered plain = {0};
    TRY(lowered_init(&plain, s->graph, err)); /* a layer without an integer form is refused before anything is read */
    TRY(pictures_load(&s->calibrating, cache, &calibrating, size, s->pool, err));
    s->student->calibration_pictures = s->calibrating.set.count;
    TRY(take_pictures(s, &s->choosing, cache, &choosing, size, err));
    progress_begin(s->progress, "quantise", "candidates", candidate_count(s->trained), 0);
    TRY(search(s, &plain, err));
    progress_end(s->progress);
cleanup:
    lowered_release(&plain);
    pictures_release(&s->calibrating);
    pictures_release(&s->choosing);
    return status;
}

static enum status score_choice(struct search_state *s, const struct cache *cache, enum split held, int size,
                                struct error *err)
{
    enum status status = STATUS_OK;
    struct quantised_student *student = s->student;
    struct pictures scoring = {0};
    TRY(take_pictures(s, &scoring, cache, &(struct picture_choice){held, 1, 2, SCORED_PICTURES, false}, size, err));
    TRY(expect(s, &scoring, &student->lowered, err));
    student->float_score = score(&scoring, s->classes, s->expected, s->expected);
    TRY(score_net(s, &scoring, &student->lowered, &student->net, &student->int8_score, err));
    student->example = malloc(scoring.set.size);
    if (!student->example)
        FAIL(error_no_memory(err, scoring.set.size, "a quantised student"));
    memcpy(student->example, scoring.set.pixels, scoring.set.size);
cleanup:
    pictures_release(&scoring);
    return status;
}

enum status quantised_student_init(struct quantised_student *student, const struct graph *graph,
                                   const struct model_card *card, const struct cache *cache,
                                   const struct quantised_options *options, struct thread_pool *pool,
                                   struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_split *splits = cache->manifest.splits;
    const enum split held = splits[SPLIT_VAL].samples > 1    ? SPLIT_VAL
                            : splits[SPLIT_TEST].samples > 1 ? SPLIT_TEST
                                                             : SPLIT_TRAIN;
    struct search_state s = {
        .student = student, .graph = graph, .trained = options->trained, .pool = pool, .progress = progress};
    *student = (struct quantised_student){.split = held};
    s.classes = (size_t)card->class_count;
    view_normalisation_table(s.normalised, card->mean, card->std, card->channels);
    TRY(choose_student(&s, cache, held, card->size, options->views, err));
    TRY(score_choice(&s, cache, held, card->size, err));
cleanup:
    free(s.expected);
    free(s.found);
    if (status != STATUS_OK)
        quantised_student_release(student);
    return status;
}

void quantised_student_release(struct quantised_student *student)
{
    int8_net_release(&student->net);
    lowered_release(&student->lowered);
    free(student->example);
    *student = (struct quantised_student){0};
}
