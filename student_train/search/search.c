/* A search from its options to its best net: candidates, rounds, what an earlier start left. */
#include "student_train/search/search.h"

#include "shared/base/files.h"
#include "shared/base/folder.h"
#include "student_train/run/fit_identity.h"
#include "student_train/run/own_folder.h"
#include "student_train/run/run_curve.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- before anything runs ---- */

static enum status check_options(const struct search *search, struct error *err)
{
    const struct fit_options *options = &search->options;
    if (options->max_params == 0)
        return error_set(err, STATUS_USAGE, NULL, "search needs a --max-params of at least 1: it fills that budget");
    if (search->finalists > search->candidates)
        return error_set(err, STATUS_USAGE, NULL, "--finalists %d must not be more than --candidates %d",
                         search->finalists, search->candidates);
    return STATUS_OK;
}

/* Rounds from the last one, whose nets train to the end, to the first one, which has all candidates. */
static void plan_rounds(struct search *search)
{
    int64_t count = search->finalists, part = 1;
    search->rounds = 1;
    while (count * search->eta <= search->candidates && search->rounds < SEARCH_MAX_ROUNDS) {
        count *= search->eta;
        search->rounds++;
    }
    for (int r = search->rounds - 1; r >= 0; r--, part *= search->eta) {
        const int64_t epochs = search->options.epochs / part, nets = (int64_t)search->finalists * part;
        search->round[r] = (struct search_round){(int)(nets < search->candidates ? nets : search->candidates),
                                                 epochs > 1 ? (int)epochs : 1};
    }
    search->round[0].count = search->candidates;
}

static enum status make_candidates(struct search *search, struct error *err)
{
    const struct fit_options *options = &search->options;
    const struct search_budget budget = {(size_t)options->max_params, search->max_macs,
                                         (size_t)options->max_activation_bytes};
    enum status status = STATUS_OK;
    struct run_info info = {0};
    run_info_from_cache(&info, &search->data.cache);
    const struct student_input input = {info.card.channels, options->size ? options->size : info.card.crop,
                                        info.card.class_count};
    search->runs = calloc((size_t)search->candidates, sizeof *search->runs);
    if (!search->runs)
        FAIL(error_no_memory(err, (size_t)search->candidates * sizeof *search->runs, "a search"));
    for (int i = 0; i < search->candidates; i++) {
        struct search_run *run = &search->runs[i];
        run->folder = arena_printf(&search->arena, "%s/runs/%04d", options->out, i + 1);
        run->file = arena_printf(&search->arena, "%s/nets/%04d.net", options->out, i + 1);
        if (!run->folder || !run->file)
            FAIL(error_no_memory(err, strlen(options->out), "a path"));
        TRY(candidate_make(&run->net, options->seed, i, &input, &budget, err));
    }
cleanup:
    run_info_release(&info);
    return status;
}

/* ---- the folder ---- */

/* Forgets the runs of an earlier search in the same folder. */
static enum status forget_runs(const struct search *search, const struct open_folder *runs, struct error *err)
{
    static const char *const names[] = {"metrics.json", "checkpoint", "summary.csv"};
    enum status status = STATUS_OK;
    struct open_folder folder = {-1, NULL};
    for (int i = 0; i < search->candidates; i++) {
        bool ours;
        TRY(own_folder_is_ours(search->runs[i].folder, &own_folder_run, &ours, err));
        if (!ours)
            continue;
        TRY(folder_enter(&folder, runs, strrchr(search->runs[i].folder, '/') + 1, false, err));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            TRY(folder_remove(&folder, names[k], err));
        folder_close(&folder);
    }
cleanup:
    folder_close(&folder);
    return status;
}

/* A search that is there must have the same options. */
static enum status check_earlier(const struct search *search, const struct open_folder *out, const char *identity,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *kept = NULL;
    size_t size;
    enum file_kind kind;
    char path[FOLDER_PATH_SIZE];
    TRY(folder_look(out, "search.ini", &kind, err));
    if (kind == FILE_ABSENT || search->options.overwrite)
        goto cleanup;
    if (!search->options.resume)
        FAIL(error_set(err, STATUS_CANT_CREATE, search->options.out,
                       "already holds a search; --resume resumes it, --overwrite replaces it"));
    TRY(folder_read(out, "search.ini", 1 << 20, &kept, &size, err));
    TRY(fit_identity_check(folder_place(path, out, "search.ini"), (char *)kept, identity, err));
cleanup:
    free(kept);
    return status;
}

/* Locks the folder, and writes the options and the nets into it. */
static enum status open_folder(struct search *search, int *lock, struct error *err)
{
    enum status status = STATUS_OK;
    struct open_folder out = {-1, NULL}, runs = {-1, NULL}, nets = {-1, NULL};
    char *identity = fit_options_fingerprint(&search->options.table);
    if (!identity)
        FAIL(error_no_memory(err, 0, "a search's identity"));
    TRY(own_folder_lock(search->options.out, &own_folder_search, lock, err));
    TRY(folder_open(&out, search->options.out, err));
    TRY(check_earlier(search, &out, identity, err));
    TRY(folder_enter(&runs, &out, "runs", true, err));
    TRY(folder_enter(&nets, &out, "nets", true, err));
    if (search->options.overwrite)
        TRY(forget_runs(search, &runs, err));
    for (int i = 0; i < search->candidates; i++)
        TRY(folder_publish(&nets, strrchr(search->runs[i].file, '/') + 1, search->runs[i].net.text,
                           strlen(search->runs[i].net.text), err));
    TRY(folder_publish(&out, "search.ini", identity, strlen(identity), err));
cleanup:
    folder_close(&nets);
    folder_close(&runs);
    folder_close(&out);
    free(identity);
    return status;
}

/* ---- training ---- */

/* The options of a candidate's run: the search's, with its net and folder. The texts belong to the search. */
static enum status run_options(struct search *search, const struct search_run *run, struct fit_options *options,
                               struct error *err)
{
    static const char *const own[] = {"candidates",           "eta",       "finalists", "max-macs",
                                      "max-activation-bytes", "overwrite", "resume"};
    const struct options *table = &search->options.table;
    int count = 1;
    char **arguments = arena_alloc(&search->arena, (size_t)table->count + 4, sizeof *arguments);
    if (!arguments)
        return error_no_memory(err, (size_t)table->count * sizeof *arguments, "options");
    arguments[0] = (char *)(uintptr_t) "fit";
    arguments[count++] = arena_printf(&search->arena, "--student=%s", run->file);
    arguments[count++] = arena_printf(&search->arena, "--out=%s", run->folder);
    if (!options_given(table, "select-on"))
        arguments[count++] = arena_printf(&search->arena, "--select-on=half");
    for (int i = 0; i < table->count; i++) {
        const char *name = table->specs[i].name;
        bool skipped = table->values[i].count == 0 || strcmp(name, "out") == 0 ||
                       (strcmp(name, "select-on") == 0 && !options_given(table, name));
        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            skipped = skipped || strcmp(name, own[k]) == 0;
        if (!skipped)
            arguments[count++] = arena_printf(&search->arena, "--%s=%s", name, table->values[i].texts[0]);
    }
    for (int i = 0; i < count; i++)
        if (!arguments[i])
            return error_no_memory(err, 0, "options");
    return fit_options_parse(options, count, arguments, err);
}

/* Trains a run up to the round's epochs, from its checkpoint if it has one. *diverged: its loss is not finite, which is
 * no error. */
static enum status train(struct search *search, struct search_run *run, int epochs, bool *diverged,
                         struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    struct fit_run *fit_run = calloc(1, sizeof *fit_run);
    char *checkpoint = path_join(run->folder, "checkpoint");
    struct fit fit = {.data = &search->data,
                      .runs = fit_run,
                      .count = 1,
                      .checkpoint = checkpoint,
                      .progress = progress,
                      .pause_after = epochs};
    struct error trouble = {0};
    *diverged = false;
    if (!fit_run || !checkpoint)
        FAIL(error_no_memory(err, sizeof *fit_run, "a run"));
    fit_run->lock = -1;
    TRY(run_options(search, run, &fit_run->options, err));
    TRY(fit_run_open(fit_run, &search->data, err));
    TRY(fit_run_lock(fit_run, err));
    status = fit_train(&fit, file_exists(checkpoint), &trouble);
    *diverged = status == STATUS_CONFIG && fit.diverged;
    if (*diverged)
        status = STATUS_OK;
    else if (status != STATUS_OK)
        FAIL(error_pass(err, &trouble));
cleanup:
    if (fit_run)
        fit_run_release(fit_run);
    free(fit_run);
    free(checkpoint);
    return status;
}

/* The score of a run's first `epochs` epochs from its log; false if it has not so many. */
static bool read_score(const struct search *search, struct search_run *run, int epochs)
{
    const int first = fit_options_first_compared(&search->options, epochs);
    static const char *const columns[] = {SUMMARY_ACCURACY, SUMMARY_AGREEMENT};
    double best = NAN;
    for (int c = 0; c < 2 && !isfinite(best); c++) {
        int count;
        double *curve = run_curve(run->folder, columns[c], &count);
        if (!curve || count < epochs) {
            free(curve);
            return false;
        }
        for (int i = first; i < epochs; i++)
            best = isfinite(curve[i]) && !(curve[i] <= best) ? curve[i] : best;
        free(curve);
    }
    run->score = best;
    run->epochs = epochs;
    return true;
}

static enum status read_result(struct search_run *run, bool *finished, struct error *err)
{
    struct error bad = {0};
    enum status status = run_metrics_read(&run->metrics, run->folder, &bad);
    *finished = status == STATUS_OK;
    if (status == STATUS_OK)
        return status;
    run_metrics_release(&run->metrics);
    if (status == STATUS_NO_INPUT || status == STATUS_BAD_DATA) /* a damaged result is computed again */
        return STATUS_OK;
    return error_set(err, status, bad.path, "%s", bad.message);
}

static enum status run_round(struct search *search, int r, const int *chosen, struct progress *progress,
                             struct error *err)
{
    const struct search_round *round = &search->round[r];
    const bool last = round->epochs == search->options.epochs;
    enum status status = STATUS_OK;
    for (int i = 0; i < round->count; i++) {
        struct search_run *run = &search->runs[chosen[i]];
        bool done = false, diverged = false;
        if (last)
            TRY(read_result(run, &done, err));
        if ((done || !last) && read_score(search, run, round->epochs))
            continue;
        progress_note(progress, "round %d of %d, net %d of %d: %s", r + 1, search->rounds, i + 1, round->count,
                      run->net.label);
        TRY(train(search, run, round->epochs, &diverged, progress, err));
        if (last && !diverged)
            TRY(read_result(run, &done, err));
        if (diverged || !read_score(search, run, round->epochs)) {
            run->epochs = round->epochs;
            run->score = NAN;
        }
        TRY(search_report(search, err));
    }
cleanup:
    return status;
}

/* The rounds one after the other; the best of one are the next one's. */
static enum status run_rounds(struct search *search, struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    int *chosen = calloc((size_t)search->candidates, sizeof *chosen);
    if (!chosen)
        return error_no_memory(err, (size_t)search->candidates * sizeof *chosen, "a search");
    for (int i = 0; i < search->candidates; i++)
        chosen[i] = i;
    for (int r = 0; r < search->rounds; r++) {
        TRY(run_round(search, r, chosen, progress, err));
        free(chosen);
        int count;
        chosen = search_ranked(search, &count);
        if (!chosen)
            FAIL(error_no_memory(err, 0, "a search"));
    }
cleanup:
    free(chosen);
    return status;
}

static enum status publish_best(struct search *search, struct error *err)
{
    enum status status = STATUS_OK;
    int count, *ranked = search_ranked(search, &count);
    if (!ranked)
        return error_no_memory(err, 0, "best.net");
    const struct search_run *best = &search->runs[ranked[0]];
    char *path = arena_printf(&search->arena, "%s/best.net", search->options.out);
    char *text = arena_printf(&search->arena,
                              "# Net %d of student_train search, seed %llu: %zu parameters, %.1f million "
                              "multiply-accumulates.\n%s",
                              ranked[0] + 1, (unsigned long long)search->options.seed, best->net.parameters,
                              best->net.multiplies / 1e6, best->net.text);
    if (!path || !text)
        FAIL(error_no_memory(err, 0, "best.net"));
    if (!isfinite(best->score))
        FAIL(error_set(err, STATUS_CONFIG, search->options.out, "the loss of every net is not finite; lower --lr"));
    TRY(file_publish(path, text, strlen(text), err));
cleanup:
    free(ranked);
    return status;
}

enum status search_run(struct search *search, struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    int lock = -1;
    TRY(check_options(search, err));
    TRY(fit_options_check(&search->options, err));
    plan_rounds(search);
    TRY(fit_data_open(&search->data, &search->options, err));
    if (!search->data.cache.manifest.splits[SPLIT_VAL].samples &&
        !search->data.cache.manifest.splits[SPLIT_TEST].samples)
        FAIL(error_set(err, STATUS_CONFIG, search->options.cache,
                       "has neither a val nor a test split, so nets cannot be compared"));
    TRY(make_candidates(search, err));
    TRY(open_folder(search, &lock, err));
    TRY(compute_open(&search->data.compute, &search->options.compute, progress, err));
    TRY(run_rounds(search, progress, err));
    TRY(search_report(search, err));
    TRY(publish_best(search, err));
cleanup:
    fit_data_release(&search->data);
    if (lock >= 0)
        file_unlock(lock);
    return status;
}

void search_release(struct search *search)
{
    for (int i = 0; search->runs && i < search->candidates; i++)
        run_metrics_release(&search->runs[i].metrics);
    free(search->runs);
    arena_release(&search->arena);
}
