#include "teacher_dump/teacher_check.h"

#include "formats/datasets/class_order.h"
#include "teacher_dump/check_statistics.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const teacher_check_names[] = {"stop", "warn", "off", NULL};
const char *const check_finding_names[FINDING_COUNT] = {"", "probabilities", "order", "normalisation", "chance"};

/* Of other inputs: so rarely, chance makes one of them look so good; what one must gain; and on how many photos they are
 * tried if more than MANY_WRONG are wrong, so that a bad teacher costs little more time than a good one. */
static const double INPUT_LEVEL = 0.01, INPUT_GAIN = 0.03;
enum { MANY_WRONG = 64, TRIED_PHOTOS = 64 };
/* Fewer values between 0 and 1 may be so by accident. */
enum { LEAST_VALUES = 40 };

/* What might be wrong: the sentence that says it, and the share of the photos that would be right then. */
struct suggestion {
    bool found;
    double share;
    char text[640];
};

struct checking {
    const struct dump_job *job;
    struct view_batch *views;
    struct teacher_check *check;
    struct photo_sample sample;
    int classes;
    float *logits;                    /* [count, classes] */
    int *labels, *predicted, *rounds; /* [count] of the sample */
    int *which, *again;               /* [count] photos that are run again; what is predicted for them */
    int *order;                       /* [classes] class of each output; as they are unless another order was found */
    bool ordered;                     /* another order was found */
    bool assumed;                     /* the natural order is only tried, together with other inputs */
    size_t used;                      /* of the message */
};

/* ---- the message ---- */

__attribute__((format(printf, 3, 4))) static void find(struct checking *c, enum check_finding finding,
                                                       const char *format, ...)
{
    struct teacher_check *check = c->check;
    const size_t left = sizeof check->message - c->used;
    char *at = check->message + c->used;
    va_list args;
    if (check->found)
        c->used += (size_t)snprintf(at, left, "; ");
    else
        check->score.finding = check_finding_names[finding];
    check->found = true;
    if (c->used >= sizeof check->message)
        c->used = sizeof check->message - 1;
    va_start(args, format);
    c->used += (size_t)vsnprintf(check->message + c->used, sizeof check->message - c->used, format, args);
    va_end(args);
    if (c->used >= sizeof check->message)
        c->used = sizeof check->message - 1;
}

/* ---- memory and the first run ---- */

static enum status allocate(struct checking *c, struct error *err)
{
    const size_t count = (size_t)c->sample.count + 1, classes = (size_t)c->classes;
    c->logits = malloc(count * classes * sizeof *c->logits);
    c->labels = malloc(5 * count * sizeof *c->labels);
    c->order = malloc(classes * sizeof *c->order);
    if (!c->logits || !c->labels || !c->order)
        return error_no_memory(err, count * classes * sizeof *c->logits, "the teacher's answers");
    c->predicted = c->labels + count;
    c->rounds = c->predicted + count;
    c->which = c->rounds + count;
    c->again = c->which + count;
    for (int i = 0; i < c->classes; i++)
        c->order[i] = i;
    for (int i = 0; i < c->sample.count; i++) {
        c->labels[i] = c->sample.photos[i].label;
        c->rounds[i] = c->sample.photos[i].round;
        c->which[i] = i;
    }
    return STATUS_OK;
}

/* The split that is scored besides train: the first that has labels, or any. */
static enum split scored_split(const struct image_source *source)
{
    static const enum split splits[] = {SPLIT_VAL, SPLIT_TEST};
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < source->sets[splits[i]].count; k++)
            if (source->sets[splits[i]].samples[k].label >= 0)
                return splits[i];
    return SPLIT_VAL;
}

static enum status choose_photos(struct checking *c, struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    const struct dump_job *job = c->job;
    const size_t photo_bytes = (size_t)job->manifest.size * (size_t)job->manifest.size * 3;
    const size_t fits = ((size_t)512 << 20) / photo_bytes;
    const int most = fits < CHECK_PHOTOS ? (int)fits : CHECK_PHOTOS; /* VIEW_MAX_SIZE leaves 10 */
    const uint64_t seed = job->options->seed;
    TRY(photo_sample_choose(&c->sample, &job->source, scored_split(&job->source), seed, most, err));
    TRY(photo_sample_choose(&c->sample, &job->source, SPLIT_TRAIN, seed,
                            most < CHECK_TRAIN_PHOTOS ? most : CHECK_TRAIN_PHOTOS, err));
    TRY(photo_sample_read(&c->sample, job, pool, err));
    TRY(allocate(c, err));
cleanup:
    return status;
}

static void predict(const struct checking *c, const float *logits, int count, int *predicted)
{
    for (int i = 0; i < count; i++) {
        const float *row = logits + (size_t)i * (size_t)c->classes;
        predicted[i] = 0;
        for (int k = 1; k < c->classes; k++)
            predicted[i] = row[k] > row[predicted[i]] ? k : predicted[i];
    }
}

static bool is_right(const struct checking *c, int i, int predicted)
{
    return c->order[predicted] == c->labels[i];
}

static int count_right(const struct checking *c)
{
    int right = 0;
    for (int i = 0; i < c->sample.count; i++)
        right += is_right(c, i, c->predicted[i]);
    return right;
}

/* Labelled photos come first: what has no label is not scored. */
static void score(struct checking *c)
{
    struct cache_check *score = &c->check->score;
    for (int i = 0; i < c->sample.count; i++) {
        const bool train = c->sample.photos[i].split == SPLIT_TRAIN;
        if (c->labels[i] < 0)
            continue;
        c->check->labelled = true;
        *(train ? &score->train_photos : &score->photos) += 1;
        *(train ? &score->train_right : &score->right) += c->predicted[i] == c->labels[i];
    }
}

/* Only labelled photos from here on. */
static void drop_unlabelled(struct checking *c)
{
    int kept = 0;
    for (int i = 0; i < c->sample.count; i++) {
        struct sampled_photo *photo = &c->sample.photos[i];
        if (photo->label < 0) {
            prepared_image_release(&photo->image);
            continue;
        }
        c->sample.photos[kept] = *photo;
        c->labels[kept] = c->labels[i];
        c->predicted[kept] = c->predicted[i];
        c->rounds[kept++] = c->rounds[i];
    }
    c->sample.count = kept;
}

/* ---- probabilities ---- */

static void look_for_probabilities(struct checking *c)
{
    const size_t classes = (size_t)c->classes, count = (size_t)c->sample.count;
    bool sums = true;
    if (c->job->teacher.outputs.from == TEACHER_FROM_PROBABILITIES || count * classes < LEAST_VALUES)
        return;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = 0; k < classes; k++) {
            const float value = c->logits[i * classes + k];
            if (!(value >= 0 && value <= 1))
                return;
            sum += (double)value;
        }
        sums = sums && fabs(sum - 1) < 0.01; /* as half precision adds them up */
    }
    find(
        c, FINDING_PROBABILITIES,
        "gives probabilities and no logits (on %d photos, every value lies between 0 and 1%s), but distillation with a "
        "temperature needs logits: export the model without its last %s, or take the logarithm of what it gives with "
        "--from probabilities",
        c->sample.count, sums ? ", and those of a photo add up to 1" : "", sums ? "softmax" : "sigmoid");
}

/* ---- the order of the classes ---- */

/* "1, 2, 3, ..., 10" */
static void list_classes(const struct checking *c, const int *order, char *text, size_t size)
{
    const char *const *names = c->job->manifest.classes;
    size_t used = 0;
    int shown = 0;
    for (; shown < c->classes && used + 64 < size; shown++)
        used += (size_t)snprintf(text + used, size - used, "%s%.40s", shown ? ", " : "", names[order[shown]]);
    if (shown < c->classes && used < size)
        snprintf(text + used, size - used, ", ...");
}

/* natural: only whether it is the natural order; otherwise any. order[classes] gets it. */
static enum status look_for_order(const struct checking *c, bool natural, int *order, struct suggestion *suggestion,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    const struct predictions predictions = {c->labels,       c->predicted, c->rounds,
                                            c->sample.count, c->classes,   c->job->manifest.classes};
    char names[320];
    int right = 0;
    *suggestion = (struct suggestion){0};
    if (natural)
        check_natural_order(&predictions, order, &suggestion->found, &right);
    else
        TRY(check_fitted_order(&predictions, order, &suggestion->found, &right, err));
    if (!suggestion->found)
        goto cleanup;
    list_classes(c, order, names, sizeof names);
    suggestion->share = (double)right / c->sample.count;
    snprintf(suggestion->text, sizeof suggestion->text,
             "is right on %d of %d labelled photos, but on %d if its classes stand in %s (%s): give %s", count_right(c),
             c->sample.count, right, natural ? "natural order" : "another order", names,
             natural ? "--classes natural" : "--classes FILE, a file with the classes in that order, one a line");
cleanup:
    return status;
}

/* From here on, the predictions are read in this order. */
static void take_order(struct checking *c, bool natural, int *order, const struct suggestion *suggestion)
{
    find(c, FINDING_ORDER, "%s", suggestion->text);
    memcpy(c->order, order, (size_t)c->classes * sizeof *order);
    c->ordered = true;
    c->check->natural = natural;
    c->check->order = order;
}

/* ---- other inputs ---- */

static void use_form(struct view_batch *views, const struct input_form *form)
{
    view_normalisation_table(views->cache_views.table, form->mean, form->std, views->cache_views.manifest->channels);
    views->bgr = form->bgr;
}

/* Runs the first `tried` photos whose present prediction is right, or wrong, and counts those whose rightness
 * changes. */
static enum status count_changes(struct checking *c, int tried, bool right, int *changed, struct error *err)
{
    int count = 0;
    for (int i = 0; i < tried; i++)
        if (is_right(c, i, c->predicted[i]) == right)
            c->which[count++] = i;
    enum status status = photo_sample_score(&c->sample, c->views, c->which, count, c->logits, err);
    if (status != STATUS_OK)
        return status;
    predict(c, c->logits, count, c->again);
    *changed = 0;
    for (int k = 0; k < count; k++)
        *changed += is_right(c, c->which[k], c->again[k]) != right;
    return STATUS_OK;
}

/* Tries one form: most cannot mend what is wrong, and the photos that are right are not run. *gain is what it makes
 * right beyond what it makes wrong, 0 if that may be chance. */
static enum status try_form(struct checking *c, const struct input_form *form, int tried, double level, int *gain,
                            struct error *err)
{
    enum status status = STATUS_OK;
    int gained, lost;
    *gain = 0;
    use_form(c->views, form);
    TRY(count_changes(c, tried, false, &gained, err));
    if (gained < INPUT_GAIN * tried || !significantly_better(gained, 0, level))
        goto cleanup;
    TRY(count_changes(c, tried, true, &lost, err));
    if (gained - lost >= INPUT_GAIN * tried && significantly_better(gained, lost, level))
        *gain = gained - lost;
cleanup:
    return status;
}

static enum status look_for_inputs(struct checking *c, struct suggestion *suggestion, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_manifest *manifest = &c->job->manifest;
    struct input_form present = {.name = "", .bgr = manifest->bgr}, forms[INPUT_FORMS];
    const int n = c->sample.count, wrong = n - count_right(c);
    const int tried = wrong > MANY_WRONG && n > TRIED_PHOTOS ? TRIED_PHOTOS : n;
    int before = 0, before_as_is = 0, best = -1, second = -1, most = 0, gain;
    char options[160], others[200] = "";
    memcpy(present.mean, manifest->mean, sizeof present.mean);
    memcpy(present.std, manifest->std, sizeof present.std);
    const int count = check_input_forms(&present, manifest->channels, forms);
    const double level = INPUT_LEVEL / count;
    *suggestion = (struct suggestion){0};
    if (!significantly_better(wrong, 0, level))
        return STATUS_OK;
    for (int i = 0; i < tried; i++)
        before += is_right(c, i, c->predicted[i]);
    for (int i = 0; i < tried; i++)
        before_as_is += c->predicted[i] == c->labels[i];
    for (int i = 0; i < count; i++) {
        TRY(try_form(c, &forms[i], tried, level, &gain, err));
        if (gain > most) {
            most = gain;
            best = i;
            second = -1;
        } else if (gain == most && gain > 0) {
            second = i;
        }
    }
    if (best < 0)
        goto cleanup;
    check_input_options(&present, &forms[best], manifest->channels, options, sizeof options);
    if (second >= 0) {
        size_t used = (size_t)snprintf(others, sizeof others, " (or, as good on these photos, ");
        check_input_options(&present, &forms[second], manifest->channels, others + used, sizeof others - used);
        used = strlen(others);
        snprintf(others + used, sizeof others - used, ")");
    }
    suggestion->found = true;
    suggestion->share = (double)(before + most) / tried;
    snprintf(suggestion->text, sizeof suggestion->text,
             "is right on %d of %d photos as they are given to it%s, but on %d with %s%s: give %s%s%s",
             c->assumed ? before_as_is : before, tried, c->ordered ? " (in that order)" : "", before + most,
             c->assumed ? "its classes in natural order and " : "",
             forms[best].name[0] ? forms[best].name : "the channels in another order",
             c->assumed ? "--classes natural " : "", options, others);
cleanup:
    use_form(c->views, &present);
    return status;
}

/* ---- both ---- */

/* Colours in another order may look like classes in another order: what makes as much right in fewer words wins. */
static const double AS_GOOD = 0.02;

/* Another normalisation in the natural order: of two mistakes at once, neither is seen alone. */
static enum status look_for_both(struct checking *c, struct suggestion *inputs, struct error *err)
{
    class_order_natural(c->job->manifest.classes, c->classes, c->order);
    for (int i = 0; i < c->classes; i++)
        c->assumed = c->assumed || c->order[i] != i;
    enum status status = c->assumed ? look_for_inputs(c, inputs, err) : STATUS_OK;
    if (status == STATUS_OK && c->assumed && inputs->found)
        find(c, FINDING_ORDER, "%s", inputs->text);
    for (int i = 0; i < c->classes; i++)
        c->order[i] = i;
    return status;
}

static enum status look_for_mistakes(struct checking *c, struct error *err)
{
    enum status status = STATUS_OK;
    struct suggestion order_text, inputs;
    int *order = malloc((size_t)c->classes * sizeof *order);
    if (!order)
        return error_no_memory(err, (size_t)c->classes * sizeof *order, "an order of classes");
    bool natural = true;
    TRY(look_for_order(c, natural, order, &order_text, err));
    if (!order_text.found) {
        natural = false;
        TRY(look_for_order(c, natural, order, &order_text, err));
        TRY(look_for_inputs(c, &inputs, err));
        if (inputs.found && (!order_text.found || inputs.share >= order_text.share - AS_GOOD)) {
            find(c, FINDING_NORMALISATION, "%s", inputs.text);
            goto cleanup;
        }
    }
    if (!order_text.found) {
        TRY(look_for_both(c, &inputs, err));
        goto cleanup;
    }
    take_order(c, natural, order, &order_text);
    order = NULL;
    TRY(look_for_inputs(c, &inputs, err));
    if (inputs.found)
        find(c, FINDING_NORMALISATION, "%s", inputs.text);
cleanup:
    free(order);
    return status;
}

/* ---- guessing ---- */

/* What always the same answer would get right. */
static double guessing(const struct checking *c)
{
    int *counts = calloc((size_t)c->classes, sizeof *counts), most = 0;
    for (int i = 0; i < c->sample.count && counts; i++) {
        const int count = ++counts[c->labels[i]];
        most = count > most ? count : most;
    }
    free(counts);
    const double uniform = 1.0 / c->classes, same = (double)most / fmax(1, c->sample.count);
    return same > uniform ? same : uniform;
}

static void look_for_chance(struct checking *c)
{
    const int n = c->sample.count, right = count_right(c);
    const double guess = guessing(c);
    if (c->check->found || !near_chance(right, n, guess))
        return;
    find(
        c, FINDING_CHANCE,
        "is right on %d of %d labelled photos (%.1f %%), no better than guessing (%.1f %%), and no usual normalisation "
        "or order of the classes helps: is it the teacher of these classes? Compare --mean, --std, --size, --base, "
        "--resize and the classes' order (--classes) with those of its training",
        right, n, 100.0 * right / n, 100 * guess);
}

/* ---- all ---- */

enum status teacher_check_run(const struct dump_job *job, struct view_batch *views, struct thread_pool *pool,
                              struct teacher_check *check, struct error *err)
{
    enum status status = STATUS_OK;
    struct checking c = {.job = job, .views = views, .check = check, .classes = job->teacher.classes};
    *check = (struct teacher_check){.score = {.finding = ""}};
    TRY(choose_photos(&c, pool, err));
    TRY(photo_sample_score(&c.sample, views, c.which, c.sample.count, c.logits, err));
    predict(&c, c.logits, c.sample.count, c.predicted);
    score(&c);
    look_for_probabilities(&c);
    drop_unlabelled(&c);
    if (c.sample.count == 0)
        goto cleanup;
    TRY(look_for_mistakes(&c, err));
    look_for_chance(&c);
cleanup:
    photo_sample_release(&c.sample);
    free(c.logits);
    free(c.labels);
    free(c.order);
    return status;
}

void teacher_check_release(struct teacher_check *check)
{
    free(check->order);
    *check = (struct teacher_check){0};
}
