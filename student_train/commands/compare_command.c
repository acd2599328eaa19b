/* `student_train compare`: one table of finished runs beside their teacher. */
#include "formats/cache/cache.h"
#include "formats/json.h"
#include "shared/base/options.h"
#include "student_train/commands/commands.h"
#include "student_train/run/run_metrics.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *percent(double value, char text[16])
{
    if (isfinite(value))
        snprintf(text, 16, "%.2f %%", 100 * value);
    else
        snprintf(text, 16, "-");
    return text;
}

static void print_cache(const struct cache_manifest *manifest)
{
    uint64_t total, images, views = cache_view_count(manifest);
    char val[16];
    const struct cache_split *split = &manifest->splits[manifest->splits[SPLIT_VAL].samples ? SPLIT_VAL : SPLIT_TEST];
    cache_bytes(manifest, &total, &images);
    if (cache_has_teacher(manifest))
        printf("%-32s %10s %10s\n", "teacher",
               percent(split->teacher_accuracy < 0 ? NAN : split->teacher_accuracy, val), "-");
    printf("%llu views in the cache, %.1f MB, %.2f bytes a view without the images\n", (unsigned long long)views,
           (double)total / 1e6, views ? (double)(total - images) / (double)views : 0);
}

static void print_rows(const struct run_metrics *rows, int count, const struct cache_manifest *manifest)
{
    char accuracy[16], agreement[16];
    printf("%-32s %10s %10s %10s %7s %9s %8s\n", "loss", "accuracy", "agreement", "parameters", "epochs", "images/s",
           "seconds");
    for (int i = 0; i < count; i++)
        printf("%-32s %10s %10s %10.0f %7.0f %9.0f %8.1f\n", rows[i].loss, percent(rows[i].accuracy, accuracy),
               percent(rows[i].agreement, agreement), rows[i].parameters, rows[i].epochs, rows[i].images_per_second,
               rows[i].seconds);
    if (manifest)
        print_cache(manifest);
}

static cJSON *rows_json(const struct run_metrics *rows, int count, const struct option_list *runs)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "run", runs->items[i]);
        cJSON_AddStringToObject(item, "student", rows[i].student);
        cJSON_AddStringToObject(item, "loss", rows[i].loss);
        cJSON_AddItemToObject(item, "accuracy",
                              isfinite(rows[i].accuracy) ? cJSON_CreateNumber(rows[i].accuracy) : cJSON_CreateNull());
        cJSON_AddItemToObject(item, "agreement",
                              isfinite(rows[i].agreement) ? cJSON_CreateNumber(rows[i].agreement) : cJSON_CreateNull());
        cJSON_AddNumberToObject(item, "parameters", rows[i].parameters);
        cJSON_AddNumberToObject(item, "epochs", rows[i].epochs);
        cJSON_AddNumberToObject(item, "images_per_second", rows[i].images_per_second);
        cJSON_AddNumberToObject(item, "seconds", rows[i].seconds);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static enum status compare(const struct option_list *runs, const char *cache_path, bool json, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct run_metrics *rows = calloc((size_t)runs->count, sizeof *rows);
    if (!rows)
        return error_no_memory(err, (size_t)runs->count * sizeof *rows, "a table");
    for (int i = 0; i < runs->count; i++)
        TRY(run_metrics_read(&rows[i], runs->items[i], err));
    if (cache_path)
        TRY(cache_open(&cache, cache_path, err));
    if (json) {
        cJSON *list = rows_json(rows, runs->count, runs);
        char *text = cJSON_Print(list);
        cJSON_Delete(list);
        if (!text)
            TRY(error_no_memory(err, 0, "a table"));
        printf("%s\n", text);
        free(text);
    } else {
        print_rows(rows, runs->count, cache_path ? &cache.manifest : NULL);
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
    enum status status = STATUS_OK;
    struct option_list runs = {0};
    const char *cache = NULL;
    bool json = false;
    const struct option_spec specs[] = {
        {"run", OPTION_LIST, &runs, "RUN", NULL, "a finished run's folder", .required = true},
        {"cache", OPTION_STRING, &cache, "CACHE", NULL, "shows the teacher and the cache's size, too"},
        {"json", OPTION_FLAG, &json, NULL, NULL, "the table as JSON"},
    };
    struct options table = {.command = "student_train compare",
                            .summary = "one table of finished runs",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&table, argc, argv, err));
    if (table.help)
        options_print_help(&table, stdout);
    else
        status = compare(&runs, cache, json, err);
cleanup:
    options_release(&table);
    return status;
}
