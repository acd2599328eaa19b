/* Looks for the mistake that explains what a teacher gets wrong. */
#include "teacher_dump/teacher_checking.h"

#include "formats/datasets/class_order.h"
#include "teacher_dump/check_statistics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of other inputs: so rarely, chance makes one of them look so good; what one must gain; and on how many photos they
 * are tried if more than MANY_WRONG are wrong, so that a bad teacher costs little more time than a good one. */
static const double INPUT_LEVEL = 0.01, INPUT_GAIN = 0.03;
enum { MANY_WRONG = 64, TRIED_PHOTOS = 64 };
/* What might be wrong: the sentence that says it, and the share of the photos that would be right then. */
struct suggestion {
    bool found;
    double share;
    char text[640];
};

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
             "is right on %d of %d labelled photos, but on %d if its classes stand in %s (%s): give %s",
             checking_right(c), c->sample.count, right, natural ? "natural order" : "another order", names,
             natural ? "--classes natural" : "--classes FILE, a file with the classes in that order, one a line");
cleanup:
    return status;
}

/* From here on, the predictions are read in this order. */
static void take_order(struct checking *c, bool natural, int *order, const struct suggestion *suggestion)
{
    checking_find(c, FINDING_ORDER, "%s", suggestion->text);
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
        if (checking_is_right(c, i, c->predicted[i]) == right)
            c->which[count++] = i;
    enum status status = photo_sample_score(&c->sample, c->views, c->which, count, c->logits, err);
    if (status != STATUS_OK)
        return status;
    checking_predict(c, c->logits, count, c->again);
    *changed = 0;
    for (int k = 0; k < count; k++)
        *changed += checking_is_right(c, c->which[k], c->again[k]) != right;
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
    const int n = c->sample.count, wrong = n - checking_right(c);
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
        before += checking_is_right(c, i, c->predicted[i]);
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
        checking_find(c, FINDING_ORDER, "%s", inputs->text);
    for (int i = 0; i < c->classes; i++)
        c->order[i] = i;
    return status;
}

enum status checking_look_for_mistakes(struct checking *c, struct error *err)
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
            checking_find(c, FINDING_NORMALISATION, "%s", inputs.text);
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
        checking_find(c, FINDING_NORMALISATION, "%s", inputs.text);
cleanup:
    free(order);
    return status;
}
