/* What changes between two epochs: images grow (--size A:B), and values and weights are rounded to 8 bits
 * (--qat). The trainer is made anew then, and keeps what it has learned. */
#include "student_train/run/fit.h"

#include "shared/base/memory.h"
#include "shared/quantise/training_graph.h"

/* The size of the images of an epoch. */
static int size_in(const struct fit *fit, int epoch)
{
    const struct fit_options *options = &fit->runs[0].options;
    return options->first_size < options->size ? fit_options_size(options, epoch) : fit->runs[0].info.card.size;
}

static enum status check_quantises(const struct fit_run *run, struct error *err)
{
    struct graph graph;
    if (run->options.qat_after == QAT_NEVER)
        return STATUS_OK;
    const enum status status = training_graph(&run->student.graph, &graph, err);
    if (status == STATUS_OK)
        graph_release(&graph);
    return status;
}

enum status fit_check_forms(const struct fit_run *run, struct error *err)
{
    const struct fit_options *options = &run->options;
    const struct student_input input = {run->info.card.channels, options->first_size, run->info.card.class_count};
    enum status status = check_quantises(run, err);
    struct graph graph;
    if (status != STATUS_OK || options->first_size == options->size)
        return status;
    status = student_at_size(&run->student, options->student, &input, &graph, err);
    graph_release(&graph);
    return status;
}

/* Replaces a graph by its training graph. */
static enum status quantise(struct graph *graph, struct error *err)
{
    struct graph quantised;
    const enum status status = training_graph(graph, &quantised, err);
    if (status != STATUS_OK)
        return status;
    graph_release(graph);
    *graph = quantised;
    return STATUS_OK;
}

enum status fit_quantise(struct fit *fit, struct error *err)
{
    enum status status = STATUS_OK;
    for (int k = 0; k < fit->count; k++)
        TRY(quantise(&fit->runs[k].student.graph, err));
    fit->quantised = true;
cleanup:
    return status;
}

/* The graph that tells the size of the images. */
static enum status graph_at(struct fit *fit, int size, const struct graph **graph, struct error *err)
{
    const struct fit_run *first = &fit->runs[0];
    const struct student_input input = {first->info.card.channels, size, first->info.card.class_count};
    enum status status = STATUS_OK;
    graph_release(&fit->graph);
    *graph = &first->student.graph;
    if (size == first->info.card.size)
        return STATUS_OK;
    *graph = &fit->graph;
    TRY(student_at_size(&first->student, first->options.student, &input, &fit->graph, err));
    if (fit->quantised)
        TRY(quantise(&fit->graph, err));
cleanup:
    return status;
}

enum status fit_set_form(struct fit *fit, int epoch, bool evaluates, struct error *err)
{
    const int size = evaluates ? fit->runs[0].info.card.size : size_in(fit, epoch);
    const bool begins = fit_options_quantise(&fit->runs[0].options, epoch) && !fit->quantised;
    const uint64_t step = fit->trainer.step;
    const size_t state_count = fit->trainer.network.plan.state_count;
    const struct graph *graph;
    enum status status = STATUS_OK;
    float *state = NULL;
    if (fit->size != size || begins) {
        TRY(trainer_save(&fit->trainer, &state, err));
        trainer_release(&fit->trainer); /* it borrows the graph */
        if (begins) {
            progress_note(fit->progress, "epoch %d: from here on with values and weights in 8 bits", epoch + 1);
            TRY(fit_quantise(fit, err));
        }
        TRY(graph_at(fit, size, &graph, err));
        TRY(fit_trainer_init(fit, graph, &fit->options, &fit->data->cache.manifest, err));
        TRY(trainer_restore(&fit->trainer, state, state_count, err));
        fit->trainer.step = step;
        fit->data->train.cache_views.size = size;
        fit->size = size;
    }
    fit->trainer.settled = fit_options_settle(&fit->runs[0].options, epoch);
cleanup:
    memory_free(state);
    return status;
}
