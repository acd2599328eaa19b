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

/* The usual inputs, on the first `tried` photos of the sample. */
struct form_search {
    struct input_form present, forms[INPUT_FORMS];
    int count, tried;
    double level;
    int gained[INPUT_FORMS];  /* wrong photos that a form makes right; -1: its right ones were run, too */
    int most, best, second;   /* what the best form gains; -1: none; one that gains as much */
    int before, before_as_is; /* right photos; as it is with an assumed order of the classes, and without */
};

static void begin_search(const struct checking *c, struct form_search *search)
{
    const struct cache_manifest *manifest = &c->job->manifest;
    const int n = c->sample.count, wrong = n - checking_right(c);
    *search = (struct form_search){.best = -1, .second = -1, .present = {.name = "", .bgr = manifest->bgr}};
    memcpy(search->present.mean, manifest->mean, sizeof manifest->mean);
    memcpy(search->present.std, manifest->std, sizeof manifest->std);
    search->count = check_input_forms(&search->present, manifest->channels, search->forms);
    search->level = INPUT_LEVEL / search->count;
    search->tried = wrong > MANY_WRONG && n > TRIED_PHOTOS ? TRIED_PHOTOS : n;
    for (int i = 0; i < search->tried; i++) {
        search->before += checking_is_right(c, i, c->predicted[i]);
        search->before_as_is += c->predicted[i] == c->labels[i];
    }
}

static bool is_worth_it(const struct form_search *search, int gained, int lost)
{
    return gained - lost >= INPUT_GAIN * search->tried && significantly_better(gained, lost, search->level);
}

/* Most forms cannot mend what is wrong. The photos that are right are run for those that can, the most promising first,
 * until the others cannot be better. */
static enum status search_forms(struct checking *c, struct form_search *search, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < search->count; i++) {
        use_form(c->views, &search->forms[i]);
        TRY(count_changes(c, search->tried, false, &search->gained[i], err));
    }
    for (;;) {
        int next = 0, lost;
        for (int i = 1; i < search->count; i++)
            next = search->gained[i] > search->gained[next] ? i : next;
        const int gained = search->gained[next];
        if (!is_worth_it(search, gained, 0) || gained < search->most)
            break;
        use_form(c->views, &search->forms[next]);
        TRY(count_changes(c, search->tried, true, &lost, err));
        search->gained[next] = -1;
        if (!is_worth_it(search, gained, lost) || gained - lost < search->most)
            continue;
        if (gained - lost > search->most)
            search->best = next, search->second = -1;
        else
            search->second = next;
        search->most = gained - lost;
    }
cleanup:
    use_form(c->views, &search->present);
    return status;
}

static void describe_search(const struct checking *c, const struct form_search *search, struct suggestion *suggestion)
{
    const int channels = c->job->manifest.channels;
    const struct input_form *best = &search->forms[search->best];
    char options[160], also[160] = "";
    check_input_options(&search->present, best, channels, options, sizeof options);
    if (search->second >= 0)
        check_input_options(&search->present, &search->forms[search->second], channels, also, sizeof also);
    suggestion->found = true;
    suggestion->share = (double)(search->before + search->most) / search->tried;
    snprintf(suggestion->text, sizeof suggestion->text,
             "is right on %d of %d photos as they are given to it%s, but on %d with %s%s: give %s%s%s%s%s",
             c->assumed ? search->before_as_is : search->before, search->tried, c->ordered ? " (in that order)" : "",
             search->before + search->most, c->assumed ? "its classes in natural order and " : "",
             best->name[0] ? best->name : "the channels in another order", c->assumed ? "--classes natural " : "",
             options, also[0] ? " (or, as good on these photos, " : "", also, also[0] ? ")" : "");
}

static enum status look_for_inputs(struct checking *c, struct suggestion *suggestion, struct error *err)
{
    enum status status = STATUS_OK;
    struct form_search search;
    *suggestion = (struct suggestion){0};
    begin_search(c, &search);
    if (significantly_better(c->sample.count - checking_right(c), 0, search.level))
        TRY(search_forms(c, &search, err));
    if (search.best >= 0)
        describe_search(c, &search, suggestion);
cleanup:
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
