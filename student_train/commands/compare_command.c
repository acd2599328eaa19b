/* `student_train compare`: a table of finished runs beside their teacher, or a chart of them. */
#include "formats/cache/cache.h"
#include "student_train/commands/command.h"
#include "student_train/commands/compare_rows.h"
#include "student_train/commands/student_commands.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct compare_options {
    struct option_list runs, x;
    const char *cache, *baseline, *chart, *html, *title, *x_label;
    bool average, markdown, log_x, json;
};

static void print_cache(const struct cache_manifest *manifest)
{
    uint64_t total, images, views = cache_view_count(manifest);
    const struct cache_split *split = &manifest->splits[manifest->splits[SPLIT_VAL].samples ? SPLIT_VAL : SPLIT_TEST];
    cache_bytes(manifest, &total, &images);
    if (cache_has_teacher(manifest)) {
        printf("%-32s", "teacher");
        if (split->teacher_accuracy < 0)
            printf(" %10s", "-");
        else
            printf(" %8.2f %%", 100 * split->teacher_accuracy);
        printf(" %10s\n", "-");
    }
    printf("%llu views in the cache, %.1f MB, %.2f bytes per view without the images\n", (unsigned long long)views,
           (double)total / 1e6, views ? (double)(total - images) / (double)views : 0);
}

/* x[count], malloc'ed; NULL without --x. */
static enum status read_places(const struct compare_options *options, double **x, struct error *err)
{
    const int count = options->x.count;
    *x = NULL;
    if (options->chart && count == 0)
        return error_set(err, STATUS_USAGE, NULL, "--chart needs --x after every --run: the run's place on the axis");
    if (count == 0)
        return STATUS_OK;
    if (count != options->runs.count)
        return error_set(err, STATUS_USAGE, NULL, "%d runs, but %d places: give --x as many times as --run",
                         options->runs.count, count);
    *x = calloc((size_t)count, sizeof **x);
    if (!*x)
        return error_no_memory(err, (size_t)count * sizeof **x, "a chart");
    for (int i = 0; i < count; i++) {
        char *end;
        (*x)[i] = strtod(options->x.items[i], &end);
        if (end == options->x.items[i] || *end || !isfinite((*x)[i]))
            return error_set(err, STATUS_USAGE, NULL, "--x '%s' is not a number", options->x.items[i]);
        if (options->log_x && (*x)[i] <= 0)
            return error_set(err, STATUS_USAGE, NULL, "--x %s must be above 0 with --log-x", options->x.items[i]);
    }
    return STATUS_OK;
}

/* runs[options->runs.count]; rows: a copy of them, which become means. */
static enum status show(const struct compare_options *options, const struct compare_row *runs, struct compare_row *rows,
                        const struct cache *cache, struct error *err)
{
    int count = options->runs.count;
    enum status status = STATUS_OK;
    if (options->average || options->baseline || options->chart)
        count = compare_rows_average(rows, count);
    if (options->baseline)
        TRY(compare_rows_gain(rows, count, options->baseline, err));
    if (options->chart)
        TRY(compare_rows_chart(rows, count, options->title, options->x_label, options->log_x, options->chart, err));
    if (options->html)
        TRY(compare_rows_page(runs, options->runs.count, rows, count, options->title, options->html, err));
    if (options->json) {
        TRY(command_print_json(compare_rows_json(rows, count), "a table", err));
    } else if (options->markdown) {
        compare_rows_markdown(rows, count, options->x_label, stdout);
    } else if (!options->chart) {
        compare_rows_print(rows, count, stdout);
        if (options->cache)
            print_cache(&cache->manifest);
    }
cleanup:
    return status;
}

static enum status run(void *context, struct error *err)
{
    const struct compare_options *options = context;
    const int count = options->runs.count;
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct run_metrics *metrics = calloc((size_t)count, sizeof *metrics);
    struct compare_row *rows = calloc((size_t)count, 2 * sizeof *rows);
    double *x = NULL;
    if (!metrics || !rows)
        FAIL(error_no_memory(err, 2 * (size_t)count * sizeof *rows, "a table"));
    TRY(read_places(options, &x, err));
    for (int i = 0; i < count; i++)
        TRY(run_metrics_read(&metrics[i], options->runs.items[i], err));
    if (options->cache)
        TRY(cache_open(&cache, options->cache, err));
    compare_rows_of(rows, metrics, options->runs.items, x, count);
    compare_rows_of(rows + count, metrics, options->runs.items, x, count);
    TRY(show(options, rows + count, rows, &cache, err));
cleanup:
    for (int i = 0; metrics && i < count; i++)
        run_metrics_release(&metrics[i]);
    free(metrics);
    free(rows);
    free(x);
    cache_release(&cache);
    return status;
}

enum status compare_command(int argc, char **argv, struct error *err)
{
    struct compare_options o = {0};
    const struct option_spec specs[] = {
        {"run", OPTION_LIST, &o.runs, "RUN", NULL, "the folder of a finished run", .required = true},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "also show the teacher and the size of this cache"},
        {"average", OPTION_FLAG, &o.average, NULL, NULL,
         "runs with the same name (fit --name; by default student and loss), such as those of several seeds, are one "
         "row: means, and the standard error of the accuracy"},
        {"baseline", OPTION_STRING, &o.baseline, "LOSS", NULL,
         "also show the gain over the same student's runs with this loss, such as ce, in points of accuracy; implies "
         "--average"},
        {"markdown", OPTION_FLAG, &o.markdown, NULL, NULL, "print the table as Markdown"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print the table as JSON"},
        {"chart", OPTION_STRING, &o.chart, "FILE.svg", NULL,
         "write a picture: accuracy against --x, a line for each name, with standard errors; no table without "
         "--markdown"},
        {"html", OPTION_STRING, &o.html, "FILE.html", NULL,
         "write a page: the table and, with --baseline, how the accuracy of each class changes"},
        {"x", OPTION_LIST, &o.x, "X", NULL, "the place of a run on the chart, in the order of --run"},
        {"x-label", OPTION_STRING, &o.x_label, "TEXT", "x", "what --x is"},
        {"log-x", OPTION_FLAG, &o.log_x, NULL, NULL, "powers of 2 have equal distances on the chart"},
        {"title", OPTION_STRING, &o.title, "TEXT", "Accuracy", "the title of chart and page"},
    };
    struct options table = {.command = "student_train compare",
                            .summary = "one table, or a chart, of finished runs",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
