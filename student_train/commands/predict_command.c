/* `student_train predict`: classifies the photos of a folder, or a split of a cache, and writes a file of predictions
 * for Kaggle or for other programs. */
#include "formats/export/prediction_csv.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/prediction_ids.h"
#include "student_train/run/predictions.h"
#include "student_train/student/preset.h"
#include <stdlib.h>
#include <string.h>

static const char *const split_choices[] = {"train", "val", "test", NULL};
static const char *const id_choices[] = {"stem", "name", "number", "position", NULL}; /* as enum id_kind */
enum { LABELS_INDEX, LABELS_NAME, LABELS_AUTO };
static const char *const label_choices[] = {"index", "name", NULL};
static const char *const broken_choices[] = {"salvage", "majority", "fail", NULL}; /* as enum broken_photo */
static const char *const tta_choices[] = {"none", "hflip", NULL};

struct predict_options {
    const char *run, *data, *cache, *out, *weights, *header, *preset;
    struct compute_options compute;
    struct id_rule id;
    int split, batch, labels, top, on_broken, tta;
    bool probabilities, quiet, json;
};

static enum status predict_folder(const struct predict_options *options, struct finished_run *run,
                                  struct progress *progress, struct predictions *predictions, struct error *err)
{
    enum status status = STATUS_OK;
    struct photos photos = {0};
    TRY(photos_list(&photos, options->data, err));
    TRY(predictions_of_photos(predictions, &photos, run, (enum broken_photo)options->on_broken, options->tta, progress,
                              err));
    if (photos.others > 0 && options->json)
        progress_note(progress, "%zu files are no photos and have no row: %s", photos.others, photos.other);
    else if (photos.others > 0)
        printf("%zu files are no photos and have no row: %s%s\n", photos.others, photos.other,
               photos.others > 1 ? ", ..." : "");
cleanup:
    photos_release(&photos);
    return status;
}

static enum status predict_cache(const struct predict_options *options, struct finished_run *run,
                                 struct progress *progress, struct predictions *predictions, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct dataset dataset = {0};
    TRY(cache_open(&cache, options->cache, err));
    TRY(cache_set_data(&cache, options->data, err));
    TRY(finished_run_fits(&run->info, &cache, err));
    TRY(dataset_load(&dataset, &cache, (enum split)options->split, DATASET_EVALUATION, run->info.card.size,
                     &run->compute, progress, err));
    TRY(predictions_of_dataset(predictions, &dataset, run, options->tta, err));
cleanup:
    dataset_release(&dataset);
    cache_release(&cache);
    return status;
}

/* Classes whose names are numbers are called by them: folder 7 need not be class 7, because 10 comes before 2. */
static bool are_numbers(const struct model_card *card)
{
    for (int k = 0; k < card->class_count; k++)
        if (!*card->classes[k] || card->classes[k][strspn(card->classes[k], "0123456789")])
            return false;
    return true;
}

static enum status publish(const struct predict_options *options, const struct model_card *card,
                           struct predictions *predictions, struct id_rule *rule, struct error *err)
{
    enum status status = STATUS_OK;
    const char *const *ids;
    const bool named = options->labels == LABELS_AUTO ? are_numbers(card) : options->labels == LABELS_NAME;
    const struct prediction_csv csv = {.header = options->header,
                                       .top = options->top,
                                       .probabilities = options->probabilities,
                                       .labels = named ? card->classes : NULL,
                                       .names = card->classes,
                                       .classes = card->class_count};
    TRY(prediction_ids(rule, predictions->names, predictions->count, &predictions->arena, &ids, err));
    TRY(prediction_csv_publish(options->out, &csv, ids, predictions->probabilities, predictions->count, err));
cleanup:
    return status;
}

/* Everything that a user must know about the file, also with --quiet. */
static void print_summary(const struct predict_options *options, const struct model_card *card,
                          const struct predictions *predictions, const struct id_rule *rule)
{
    for (size_t i = 0; i < predictions->count; i++)
        if (predictions->broken[i])
            printf("broken: %s: %s; its row is %s\n", predictions->names[i], predictions->broken[i],
                   predictions->guessed[i] ? "the class that most other photos get" : "a guess from what is there");
    if (options->labels == LABELS_AUTO && !options->probabilities && are_numbers(card))
        printf("the class names are numbers, so they are written, not their indices (--labels)\n");
    if (options->id.kind == ID_AUTO && rule->kind == ID_NAME)
        printf("photos in different folders have the same name, so Ids are whole names (--id)\n");
    if (predictions->mirrored)
        printf("with --tta hflip %zu of %zu photos get another class than without\n", predictions->changed,
               predictions->count);
    printf("%zu predictions in %s\n", predictions->count, options->out);
}

static enum status print_json(const struct predict_options *options, const struct predictions *predictions,
                              const struct id_rule *rule, struct error *err)
{
    cJSON *root = cJSON_CreateObject(), *list = cJSON_CreateArray();
    cJSON_AddStringToObject(root, "out", options->out);
    cJSON_AddNumberToObject(root, "predictions", (double)predictions->count);
    cJSON_AddStringToObject(root, "id", id_choices[rule->kind]);
    json_add(root, "changed_by_tta",
             predictions->mirrored ? cJSON_CreateNumber((double)predictions->changed) : cJSON_CreateNull());
    json_add(root, "broken", list);
    for (size_t i = 0; i < predictions->count; i++) {
        if (!predictions->broken[i])
            continue;
        cJSON *item = cJSON_CreateObject();
        json_append(list, item);
        cJSON_AddStringToObject(item, "photo", predictions->names[i]);
        cJSON_AddStringToObject(item, "reason", predictions->broken[i]);
        cJSON_AddBoolToObject(item, "guessed", predictions->guessed[i]);
    }
    return command_print_json(root, "the summary", err);
}

static enum status run(void *context, struct error *err)
{
    const struct predict_options *options = context;
    enum status status = STATUS_OK;
    struct finished_run finished = {0};
    struct predictions predictions = {0};
    struct id_rule rule = options->id;
    struct progress progress;
    if (!options->data && !options->cache)
        return error_set(err, STATUS_USAGE, NULL, "give --data DIR or --cache CACHE");
    progress_init(&progress, stderr, options->quiet);
    TRY(finished_run_open(&finished, options->run, options->weights, &options->compute, options->batch, &progress,
                          err));
    TRY((options->cache ? predict_cache : predict_folder)(options, &finished, &progress, &predictions, err));
    TRY(publish(options, &finished.info.card, &predictions, &rule, err));
    if (options->json)
        TRY(print_json(options, &predictions, &rule, err));
    else
        print_summary(options, &finished.info.card, &predictions, &rule);
cleanup:
    predictions_release(&predictions);
    finished_run_release(&finished);
    return status;
}

/* "a competition's file: kaggle-cassava, ...; or FILE.ini". */
static const char *preset_help(char text[1024])
{
    snprintf(text, 1024, "the options below as a competition wants them:");
    for (int i = 0; i < submission_count; i++)
        snprintf(text + strlen(text), 1024 - strlen(text), "%s %s", i ? "," : "", submissions[i].name);
    snprintf(text + strlen(text), 1024 - strlen(text), "; or FILE.ini");
    return text;
}

enum status predict_command(int argc, char **argv, struct error *err)
{
    struct predict_options o = {.id.kind = ID_AUTO, .labels = LABELS_AUTO};
    char help[1024];
    const struct option_spec specs[] = {
        {"run", OPTION_STRING, &o.run, "RUN", NULL, "the run's folder", .required = true},
        {"data", OPTION_STRING, &o.data, "DIR", NULL,
         "a folder of photos; rows are in natural order of their names. With --cache: where its linked photos are now"},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "a cache instead of photos"},
        {"split", OPTION_CHOICE, &o.split, NULL, "test", "which split of the cache", .choices = split_choices},
        {"out", OPTION_STRING, &o.out, "FILE.csv", NULL, "the file to write", .required = true},
        {"preset", OPTION_STRING, &o.preset, "NAME", NULL, preset_help(help)},
        {"id", OPTION_CHOICE, &o.id.kind, NULL, NULL,
         "Ids: the name without its ending, the whole name, the last number in the name, or the position; default: "
         "stem, or name where two photos share a stem",
         .choices = id_choices},
        {"id-first", OPTION_INT, &o.id.first, "N", "0", "the first photo's position", .minimum = 0, .maximum = 1e9},
        {"id-width", OPTION_INT, &o.id.width, "N", "0", "numbers and positions get zeros up to so many digits",
         .minimum = 0, .maximum = ID_MAX_WIDTH},
        {"header", OPTION_STRING, &o.header, "NAMES", NULL,
         "names of the columns, separated by commas; default: Id,Category"},
        {"labels", OPTION_CHOICE, &o.labels, NULL, NULL,
         "what stands for a class; default: its index, or its name if all classes are called by numbers",
         .choices = label_choices},
        {"top", OPTION_INT, &o.top, "K", "0", "the K most probable classes, separated by blanks; 0: the first alone",
         .minimum = 0, .maximum = 65535},
        {"probabilities", OPTION_FLAG, &o.probabilities, NULL, NULL,
         "a column per class with its probability; with --top, a column with those of the K classes"},
        {"tta", OPTION_CHOICE, &o.tta, NULL, "none", "hflip: the mean of the photo and its mirror image",
         .choices = tta_choices},
        {"on-bad-photo", OPTION_CHOICE, &o.on_broken, NULL, "salvage",
         "a photo that is damaged: use what is there (and if that is nothing, as majority), give it the class that "
         "most other photos get, or fail",
         .choices = broken_choices},
        {"weights", OPTION_STRING, &o.weights, "best|last|FILE", "best", "which weights"},
        {"batch", OPTION_INT, &o.batch, "N", "128", "images per step", .minimum = 1, .maximum = 65536},
        COMPUTE_OPTIONS(o.compute),
        {"quiet", OPTION_FLAG, &o.quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print the summary as JSON"},
    };
    struct options table = {.command = "student_train predict",
                            .summary = "classifies photos and writes a file of predictions",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs,
                            .presets = submissions,
                            .preset_count = submission_count};
    return command_run(&table, argc, argv, run, &o, err);
}
