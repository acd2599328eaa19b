/* One run: its student and loss, its folder, and when its patience ends. The cheapest checks come first, so that
 * mistakes are reported before images are loaded. */
#include "student_train/run/fit.h"

#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include "shared/base/folder.h"
#include "shared/quantise/lowered.h"
#include "student_train/run/fit_identity.h"
#include "student_train/run/own_folder.h"
#include "student_train/run/run_metrics.h"
#include <stdlib.h>
#include <string.h>

static enum status check_budget(const struct fit_run *run, struct error *err)
{
    const size_t count = graph_parameter_count(&run->student.graph);
    const uint64_t most = run->options.max_activation_bytes;
    enum status status = STATUS_OK;
    size_t bytes;
    if (run->options.max_params > 0 && count > (size_t)run->options.max_params)
        return error_set(err, STATUS_CONFIG, NULL,
                         "student '%s' has %zu parameters, but the budget is %d; choose a smaller student, or raise "
                         "the budget with --max-params %zu",
                         run->options.student, count, run->options.max_params, count);
    if (most == 0)
        return STATUS_OK;
    TRY(lowered_int8_bytes(&run->student.graph, &bytes, err));
    if (bytes > most)
        return error_set(err, STATUS_CONFIG, NULL,
                         "student '%s' needs %zu bytes of RAM for the activations of an image in 8-bit integers, but "
                         "the budget is %llu; choose a smaller student or --size, or raise the budget with "
                         "--max-activation-bytes %zu",
                         run->options.student, bytes, (unsigned long long)most, bytes);
cleanup:
    return status;
}

static void describe(struct fit_run *run, const struct fit_data *data)
{
    const struct fit_options *options = &run->options;
    run->info.cache = options->cache;
    run->info.cache_digest = data->cache_digest;
    run->info.student = options->student;
    run->info.structure = run->student.onnx ? "student.onnx" : "student.net";
    run->info.structure_digest = run->student.digest;
    run->info.loss = run->loss.text;
    run->info.name =
        options->name ? options->name : arena_printf(&run->info.arena, "%s, %s", options->student, run->loss.text);
}

/* Reads what the report compares with now, so that a wrong --baseline costs no training. */
static enum status read_baseline(struct fit_run *run, struct error *err)
{
    const struct model_card *card = &run->info.card;
    struct arena *arena = &run->info.arena;
    enum status status = STATUS_OK;
    const char *loss;
    run->baseline = arena_alloc(arena, (size_t)card->class_count, sizeof *run->baseline);
    if (!run->baseline)
        return error_no_memory(err, (size_t)card->class_count * sizeof *run->baseline, "a baseline");
    TRY(run_class_accuracy(run->options.baseline, card->classes, card->class_count, run->baseline, &loss, arena, err));
    run->baseline_title = arena_printf(arena, "Change per class against %s, in points", loss);
    if (!run->baseline_title)
        status = error_no_memory(err, strlen(loss), "a baseline");
cleanup:
    return status;
}

enum status fit_run_open(struct fit_run *run, const struct fit_data *data, struct error *err)
{
    const struct fit_options *options = &run->options;
    enum status status = STATUS_OK;
    char init_digest[DIGEST_HEX_SIZE] = "none";
    TRY(loss_expression_parse(&run->loss, options->loss, err));
    for (int i = 0; i < run->loss.count; i++)
        run->terms[i] = run->loss.names[i];
    if (run->loss.needs_teacher && !cache_has_teacher(&data->cache.manifest))
        FAIL(error_set(
            err, STATUS_CONFIG, options->cache,
            "has no teacher's logits, but loss '%s' needs them; make a cache with teacher_dump run --teacher FILE.onnx",
            run->loss.text));
    run_info_from_cache(&run->info, &data->cache);
    run->info.card.size = options->size ? options->size : run->info.card.crop;
    TRY(student_open(&run->student, options->student,
                     &(struct student_input){run->info.card.channels, run->info.card.size, run->info.card.class_count},
                     err));
    TRY(check_budget(run, err));
    TRY(fit_check_forms(run, err));
    if (!run->student.onnx)
        graph_initialise(&run->student.graph, options->seed);
    if (options->init) {
        TRY(safetensors_read_weights_file(&run->student.graph, options->init, err));
        TRY(digest_file(options->init, init_digest, NULL, err));
    }
    if (options->baseline)
        TRY(read_baseline(run, err));
    describe(run, data);
    run->identity = fit_identity(options, data->cache_digest, run->student.digest, init_digest,
                                 run->info.card.size != run->info.card.crop);
    if (!run->identity || !run->info.name)
        FAIL(error_no_memory(err, 0, "a run's identity"));
cleanup:
    return status;
}

/* Looks for a file of the run. */
static enum status look(const struct fit_run *run, const char *name, bool *there, struct error *err)
{
    enum file_kind kind;
    char *path = path_join(run->options.out, name);
    if (!path)
        return error_no_memory(err, strlen(run->options.out), "a path");
    enum status status = file_look(path, &kind, err);
    *there = kind != FILE_ABSENT;
    free(path);
    return status;
}

/* With --overwrite: what says that the run has begun, or has ended. Its weights stay until there are new ones. */
static enum status forget(const struct fit_run *run, struct error *err)
{
    static const char *const names[] = {"metrics.json", "report.html", "checkpoint"};
    enum status status = STATUS_OK;
    struct open_folder folder;
    TRY(folder_open(&folder, run->options.out, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TRY(folder_remove(&folder, names[i], err));
cleanup:
    folder_close(&folder);
    return status;
}

enum status fit_run_lock(struct fit_run *run, struct error *err)
{
    return own_folder_lock(run->options.out, &own_folder_run, &run->lock, err);
}

enum status fit_run_folder(struct fit_run *run, bool *resumes, struct error *err)
{
    const struct fit_options *options = &run->options;
    enum status status = STATUS_OK;
    bool finished;
    TRY(fit_run_lock(run, err));
    TRY(look(run, "checkpoint", resumes, err));
    TRY(look(run, "metrics.json", &finished, err));
    if (*resumes && !options->resume && !options->overwrite)
        FAIL(error_set(err, STATUS_CANT_CREATE, options->out,
                       "already holds a run; --resume resumes it, --overwrite replaces it"));
    if (finished && !*resumes && !options->overwrite)
        FAIL(error_set(err, STATUS_CANT_CREATE, options->out,
                       "already holds a finished run, without its checkpoint; --overwrite replaces it"));
    if (options->overwrite) {
        TRY(forget(run, err));
        *resumes = false;
    }
cleanup:
    return status;
}

enum status fit_run_describe(const struct fit_run *run, struct error *err)
{
    const char *out = run->options.out;
    enum status status = STATUS_OK;
    char *config = options_resolved(&run->options.table);
    if (!config)
        FAIL(error_no_memory(err, 0, "config.ini"));
    TRY(run_publish(out, "config.ini", config, strlen(config), err));
    TRY(run_publish(out, run->info.structure, run->student.bytes, run->student.size, err));
    TRY(run_info_write(&run->info, out, err));
cleanup:
    free(config);
    return status;
}

bool fit_run_out_of_patience(const struct fit_run *run, const struct progress_state *state, int student)
{
    const int best = state->best[student].epoch, patience = run->options.patience, qat_after = run->options.qat_after;
    return patience > 0 && best > (qat_after > 0 ? qat_after : 0) && state->epoch - best >= patience;
}

int fit_run_epochs(const struct fit_run *run, const struct progress_state *state, int student)
{
    return fit_run_out_of_patience(run, state, student) ? state->best[student].epoch + run->options.patience
                                                        : state->epoch;
}

void fit_run_release(struct fit_run *run)
{
    run_log_close(run->log);
    evaluation_release(&run->evaluation);
    student_release(&run->student);
    run_info_release(&run->info);
    if (run->lock >= 0)
        file_unlock(run->lock);
    free(run->identity);
    options_release(&run->options.table);
}
