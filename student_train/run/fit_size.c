/* Images that grow over the epochs (--size A:B): between two sizes the trainer is made anew, and keeps what it has
 * learned. */
#include "student_train/run/fit.h"

#include "shared/base/memory.h"

/* The size of the images of an epoch; epochs == epoch: that of the evaluation. */
static int size_in(const struct fit *fit, int epoch)
{
    const struct fit_options *options = &fit->runs[0].options;
    return epoch < options->epochs && options->first_size < options->size ? fit_options_size(options, epoch)
                                                                          : fit->runs[0].info.card.size;
}

enum status fit_check_sizes(const struct fit_run *run, struct error *err)
{
    const struct fit_options *options = &run->options;
    const struct student_input input = {run->info.card.channels, options->first_size, run->info.card.class_count};
    struct graph graph;
    if (options->first_size == options->size)
        return STATUS_OK;
    enum status status = student_at_size(&run->student, options->student, &input, &graph, err);
    graph_release(&graph);
    return status;
}

enum status fit_set_size(struct fit *fit, int epoch, struct error *err)
{
    const struct fit_run *first = &fit->runs[0];
    const struct student_input input = {first->info.card.channels, size_in(fit, epoch), first->info.card.class_count};
    const uint64_t step = fit->trainer.step;
    enum status status = STATUS_OK;
    float *state = NULL;
    if (fit->size == input.size)
        return STATUS_OK;
    TRY(trainer_save(&fit->trainer, &state, err));
    trainer_release(&fit->trainer); /* it borrows the graph */
    graph_release(&fit->graph);
    TRY(student_at_size(&first->student, first->options.student, &input, &fit->graph, err));
    TRY(fit_trainer_init(fit, &fit->graph, &fit->options, &fit->data->cache.manifest, err));
    TRY(trainer_restore(&fit->trainer, state, err));
    fit->trainer.step = step;
    fit->data->train.cache_views.size = input.size;
    fit->size = input.size;
cleanup:
    memory_free(state);
    return status;
}
