/* `student_train compare`: one table of finished runs beside their teacher. */
#include "formats/cache.h"
#include "formats/json.h"
#include "shared/base/files.h"
#include "shared/base/options.h"
#include "student_train/commands.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_LIMIT = 64 << 20 };

/* What the table shows of RUN/metrics.json. NAN where the run had no validation or no teacher. */
struct row {
    struct arena arena;
    const char *loss, *student;
    double accuracy, agreement, parameters, epochs, images_per_second, seconds;
};

/* A number that may be null (not measured). */
static enum status number_or_nan(const struct json_place *at, const char *field, double *out, struct error *err)
{
    *out = NAN;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(at->node, field)))
        return STATUS_OK;
    return json_number(at, field, out, err);
}

static enum status parse_row(struct row *row, const cJSON *json, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place root = json_root(json, path), validation;
    row->accuracy = row->agreement = NAN;
    TRY(json_string(&root, "loss", &row->arena, &row->loss, err));
    TRY(json_string(&root, "student", &row->arena, &row->student, err));
    TRY(json_number(&root, "parameters", &row->parameters, err));
    TRY(json_number(&root, "epochs", &row->epochs, err));
    TRY(json_number(&root, "seconds", &row->seconds, err));
    TRY(json_number(&root, "images_per_second", &row->images_per_second, err));
    if (cJSON_GetObjectItemCaseSensitive(json, "validation")) {
        TRY(json_object(&root, "validation", &validation, err));
        TRY(number_or_nan(&validation, "accuracy", &row->accuracy, err));
        TRY(number_or_nan(&validation, "agreement", &row->agreement, err));
    }
cleanup:
    return status;
}

static enum status read_row(struct row *row, const char *run, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    cJSON *json = NULL;
    size_t size;
    char *path = path_join(run, "metrics.json");
    if (!path)
        return error_no_memory(err, strlen(run), "a path");
    if (!file_exists(path))
        status = error_set(err, STATUS_NO_INPUT, path, "is missing: the run is not finished, `fit --resume` goes on");
    else
        status = file_read(path, METRICS_LIMIT, &text, &size, err);
    if (status == STATUS_OK)
        status = json_parse(&json, (const char *)text, size, path, err);
    if (status == STATUS_OK)
        status = parse_row(row, json, path, err);
    cJSON_Delete(json);
    free(text);
    free(path);
    return status;
}

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

static void print_rows(const struct row *rows, int count, const struct cache_manifest *manifest)
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

static cJSON *rows_json(const struct row *rows, int count, const struct option_list *runs)
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
    struct row *rows = calloc((size_t)runs->count, sizeof *rows);
    if (!rows)
        return error_no_memory(err, (size_t)runs->count * sizeof *rows, "a table");
    for (int i = 0; i < runs->count; i++)
        TRY(read_row(&rows[i], runs->items[i], err));
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
        arena_release(&rows[i].arena);
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
