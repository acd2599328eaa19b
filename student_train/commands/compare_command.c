/* `student_train compare`: a table of finished runs beside their teacher. */
#include "formats/cache/cache.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/evaluation_report.h"
#include "student_train/run/run_metrics.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct compare_options {
    struct option_list runs;
    const char *cache;
    bool json;
};

/* The numbers of a run, as text and as JSON. */
static const struct column {
    const char *field, *title;
    size_t offset; /* in struct run_metrics */
    int width, decimals;
    bool percent;
} columns[] = {
    {"accuracy", "accuracy", offsetof(struct run_metrics, accuracy), 10, 2, true},
    {"agreement", "agreement", offsetof(struct run_metrics, agreement), 10, 2, true},
    {"parameters", "parameters", offsetof(struct run_metrics, parameters), 10, 0, false},
    {"epochs", "epochs", offsetof(struct run_metrics, epochs), 7, 0, false},
    {"images_per_second", "images/s", offsetof(struct run_metrics, images_per_second), 9, 0, false},
    {"seconds", "seconds", offsetof(struct run_metrics, seconds), 8, 1, false},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static double number_of(const struct run_metrics *row, const struct column *column)
{
    const void *number = (const char *)row + column->offset;
    return *(const double *)number;
}

static void print_number(double value, const struct column *column)
{
    if (!isfinite(value))
        printf(" %*s", column->width, "-");
    else if (column->percent)
        printf(" %*.*f %%", column->width - 2, column->decimals, 100 * value);
    else
        printf(" %*.*f", column->width, column->decimals, value);
}

static void print_cache(const struct cache_manifest *manifest)
{
    uint64_t total, images, views = cache_view_count(manifest);
    const struct cache_split *split = &manifest->splits[manifest->splits[SPLIT_VAL].samples ? SPLIT_VAL : SPLIT_TEST];
    cache_bytes(manifest, &total, &images);
    if (cache_has_teacher(manifest)) {
        printf("%-32s", "teacher");
        print_number(split->teacher_accuracy < 0 ? NAN : split->teacher_accuracy, &columns[0]);
        printf(" %*s\n", columns[1].width, "-");
    }
    printf("%llu views in the cache, %.1f MB, %.2f bytes per view without the images\n", (unsigned long long)views,
           (double)total / 1e6, views ? (double)(total - images) / (double)views : 0);
}

static void print_rows(const struct run_metrics *rows, int count)
{
    printf("%-32s", "loss");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %*s", columns[c].width, columns[c].title);
    printf("\n");
    for (int i = 0; i < count; i++) {
        printf("%-32s", rows[i].loss);
        for (int c = 0; c < COLUMNS; c++)
            print_number(number_of(&rows[i], &columns[c]), &columns[c]);
        printf("\n");
    }
}

static cJSON *rows_json(const struct run_metrics *rows, const struct option_list *runs)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < runs->count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "run", runs->items[i]);
        cJSON_AddStringToObject(item, "student", rows[i].student);
        cJSON_AddStringToObject(item, "loss", rows[i].loss);
        for (int c = 0; c < COLUMNS; c++)
            cJSON_AddItemToObject(item, columns[c].field, json_number_or_null(number_of(&rows[i], &columns[c])));
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static enum status run(void *context, struct error *err)
{
    const struct compare_options *options = context;
    const struct option_list *runs = &options->runs;
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct run_metrics *rows = calloc((size_t)runs->count, sizeof *rows);
    if (!rows)
        return error_no_memory(err, (size_t)runs->count * sizeof *rows, "a table");
    for (int i = 0; i < runs->count; i++)
        TRY(run_metrics_read(&rows[i], runs->items[i], err));
    if (options->cache)
        TRY(cache_open(&cache, options->cache, err));
    if (options->json) {
        TRY(command_print_json(rows_json(rows, runs), "a table", err));
    } else {
        print_rows(rows, runs->count);
        if (options->cache)
            print_cache(&cache.manifest);
    }
cleanup:
    for (int i = 0; i < runs->count; i++)
        run_metrics_release(&rows[i]);
    free(rows);
    cache_release(&cache);
    return status;
}

enum status compare_command(int argc, char **argv, struct error *err)
{
    struct compare_options o = {0};
    const struct option_spec specs[] = {
        {"run", OPTION_LIST, &o.runs, "RUN", NULL, "the folder of a finished run", .required = true},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "also show the teacher and the size of this cache"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print the table as JSON"},
    };
    struct options table = {.command = "student_train compare",
                            .summary = "one table of finished runs",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
