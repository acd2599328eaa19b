/* `student_train search`: finds a net within a budget. */
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/evaluation_report.h"
#include "student_train/search/search.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PRINTED = 10 };

static cJSON *runs_json(const struct search *search, const int *ranked, int count)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        const bool finished = run->metrics.loss != NULL;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "net", ranked[i] + 1);
        cJSON_AddStringToObject(item, "file", run->file);
        cJSON_AddStringToObject(item, "run", run->folder);
        cJSON_AddStringToObject(item, "design", run->net.label);
        cJSON_AddNumberToObject(item, "parameters", (double)run->net.parameters);
        cJSON_AddNumberToObject(item, "multiply_accumulates", run->net.multiplies);
        cJSON_AddNumberToObject(item, "int8_activation_bytes", (double)run->net.activation_bytes);
        cJSON_AddNumberToObject(item, "epochs", run->epochs);
        json_add(item, "selection", json_number_or_null(run->score));
        json_add(item, "accuracy", json_number_or_null(finished ? run->metrics.accuracy : NAN));
        json_add(item, "agreement", json_number_or_null(finished ? run->metrics.agreement : NAN));
        cJSON_AddBoolToObject(item, "front", search_on_front(search, ranked[i]));
        json_append(list, item);
    }
    return list;
}

static void print_best(const struct search *search, const int *ranked, int count)
{
    printf("%-60s %10s %8s %7s %10s %10s\n", "best nets", "parameters", "M mults", "epochs", "chosen by", "accuracy");
    for (int i = 0; i < count && i < PRINTED; i++) {
        const struct search_run *run = &search->runs[ranked[i]];
        printf("%4d %-55.55s %10zu %8.1f %7d %8.2f %%", ranked[i] + 1, run->net.label, run->net.parameters,
               run->net.multiplies / 1e6, run->epochs, 100 * run->score);
        if (run->metrics.loss)
            printf(" %8.2f %%", 100 * run->metrics.accuracy);
        printf("\n");
    }
    printf("\nbest net: %s/best.net   table: %s/search.csv   page: %s/search.html\n", search->options.out,
           search->options.out, search->options.out);
}

static enum status print(const struct search *search, struct error *err)
{
    int count, *ranked = search_ranked(search, &count);
    enum status status = STATUS_OK;
    if (!ranked)
        return error_no_memory(err, 0, "a table");
    if (search->options.json)
        status = command_print_json(runs_json(search, ranked, count), "a table", err);
    else
        print_best(search, ranked, count);
    free(ranked);
    return status;
}

static enum status run(void *context, struct error *err)
{
    struct search *search = context;
    struct progress progress;
    enum status status = STATUS_OK;
    progress_init(&progress, stderr, search->options.quiet);
    TRY(search_run(search, &progress, err));
    TRY(print(search, err));
cleanup:
    search_release(search);
    return status;
}

enum status search_command(int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    struct search search = {.argc = argc, .argv = argv};
    const struct option_spec more[] = {
        {"candidates", OPTION_INT, &search.candidates, "N", "32", "nets that begin", .minimum = 1,
         .maximum = SEARCH_MAX_CANDIDATES},
        {"eta", OPTION_INT, &search.eta, "N", "2",
         "each round keeps one net of N, and trains it N times as long as the round before", .minimum = 2,
         .maximum = 16},
        {"finalists", OPTION_INT, &search.finalists, "N", "4", "nets that are trained for all --epochs", .minimum = 1,
         .maximum = SEARCH_MAX_CANDIDATES},
        {"max-macs", OPTION_FLOAT, &search.max_macs, "X", "0",
         "most multiply-accumulates per image, such as 30e6; 0: no limit", .minimum = 0, .maximum = 1e15},
        {"student", .refused = "it makes its students itself"},
        {"init", .refused = "its students have no weights yet"},
        {"name", .refused = "a run is called by its number"},
        {"eval-every", .refused = "every epoch may end a round"},
        {"patience", .refused = "the rounds end the runs that are behind"},
        {"time-limit",
         .refused = "every run of a round has the same epochs; stop it with Ctrl-C and go on with --resume"},
    };
    TRY(fit_options_table(&search.options, "student_train search",
                          "finds a net within --max-params: many nets train a little, the best of them go on", more,
                          sizeof more / sizeof *more, err));
    TRY(command_run(&search.options.table, argc, argv, run, &search, err));
cleanup:
    options_release(&search.options.table);
    return status;
}
