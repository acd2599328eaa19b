#define _POSIX_C_SOURCE 200809L
#include "student_train/run/fit_options.h"

#include "shared/base/digest.h"

#include <stdlib.h>
#include <string.h>

static const char *const optimizer_names[] = {
    [OPTIMIZER_SGD] = "sgd", [OPTIMIZER_ADAM] = "adam", [OPTIMIZER_ADAMW] = "adamw", NULL};
static const char *const dtype_names[] = {[DTYPE_FP32] = "fp32", [DTYPE_BF16] = "bf16", NULL};
static const char *const order_names[] = {[ORDER_SHUFFLE] = "shuffle", [ORDER_SEQUENTIAL] = "sequential", NULL};

enum status fit_options_table(struct fit_options *o, const char *command, const char *summary,
                              const struct option_spec *more, int count, struct error *err)
{
    const double big = 1e9;
    const struct option_spec specs[] = {
        {"cache", OPTION_STRING, &o->cache, "CACHE", NULL, "the cache to train from", .required = true},
        {"student", OPTION_STRING, &o->student, "PRESET|FILE.net|FILE.onnx", NULL, "the network to train",
         .required = count == 0 /* a sweep may have it in its grid */},
        {"loss", OPTION_STRING, &o->loss, "EXPR", "ce",
         "such as '0.1*ce + 0.9*kd(T=4)'; `student_train losses` lists the terms"},
        {"epochs", OPTION_INT, &o->epochs, "N", "100", "passes over the training set, one view of each image",
         .minimum = 1, .maximum = 1e6},
        {"out", OPTION_STRING, &o->out, "RUN", NULL, "folder for everything that the run leaves", .required = true},
        {"batch", OPTION_INT, &o->batch, "N", "128", "images a step", .minimum = 1, .maximum = 65536},
        {"size", OPTION_INT, &o->size, "N", "0", "side at which the student sees the views (0: the teacher's)",
         .minimum = 0, .maximum = VIEW_MAX_SIZE},
        {"optimizer", OPTION_CHOICE, &o->optimizer, NULL, "adam", "as in torch.optim", .choices = optimizer_names},
        {"lr", OPTION_FLOAT, &o->learning_rate, "X", "1e-3", "learning rate", .minimum = 0, .maximum = big},
        {"weight-decay", OPTION_FLOAT, &o->weight_decay, "X", "1e-5", "", .minimum = 0, .maximum = big},
        {"momentum", OPTION_FLOAT, &o->momentum, "X", "0.9", "of sgd", .minimum = 0, .maximum = 1},
        {"nesterov", OPTION_FLAG, &o->nesterov, NULL, NULL, "of sgd"},
        {"beta1", OPTION_FLOAT, &o->beta1, "X", "0.9", "of adam, adamw", .minimum = 0, .maximum = 0.999999},
        {"beta2", OPTION_FLOAT, &o->beta2, "X", "0.999", "of adam, adamw", .minimum = 0, .maximum = 0.99999999},
        {"epsilon", OPTION_FLOAT, &o->epsilon, "X", "1e-8", "of adam, adamw", .minimum = 1e-30, .maximum = 1},
        {"grad-clip", OPTION_FLOAT, &o->grad_clip, "X", "10", "largest gradient norm; 0: no limit", .minimum = 0,
         .maximum = big},
        {"schedule", OPTION_CHOICE, &o->schedule.kind, NULL, "constant", "of the learning rate, epoch by epoch",
         .choices = schedule_names},
        {"warmup-epochs", OPTION_INT, &o->schedule.warmup_epochs, "N", "0", "linear rise before the schedule",
         .minimum = 0, .maximum = 1e6},
        {"min-lr", OPTION_FLOAT, &o->schedule.minimum, "X", "0", "where cosine and restarts end", .minimum = 0,
         .maximum = big},
        {"step-epochs", OPTION_INT, &o->schedule.step_epochs, "N", "30", "of step: epochs between two reductions",
         .minimum = 1, .maximum = 1e6},
        {"gamma", OPTION_FLOAT, &o->schedule.gamma, "X", "0.1", "of step: factor", .minimum = 0, .maximum = 1},
        {"restart-epochs", OPTION_INT, &o->schedule.restart_epochs, "N", "10", "of restarts: epochs of the first round",
         .minimum = 1, .maximum = 1e6},
        {"restart-factor", OPTION_INT, &o->schedule.restart_factor, "N", "2", "of restarts: growth of the rounds",
         .minimum = 1, .maximum = 100},
        {"ema", OPTION_FLOAT, &o->ema, "X", "0", "moving average of the weights, such as 0.999; 0: none", .minimum = 0,
         .maximum = 0.9999999},
        {"patience", OPTION_INT, &o->patience, "N", "0", "stop after N epochs without a better one; 0: never",
         .minimum = 0, .maximum = 1e6},
        {"eval-every", OPTION_INT, &o->eval_every, "N", "1", "epochs between validations", .minimum = 1,
         .maximum = 1e6},
        {"seed", OPTION_UINT64, &o->seed, "N", "0", "of initial weights, order of samples and views, dropout"},
        {"order-seed", OPTION_INT, &o->order_seed, "N", "-1",
         "of the order of samples and views, where it shall differ from --seed; -1: --seed", .minimum = -1,
         .maximum = 2e9},
        {"order", OPTION_CHOICE, &o->order, NULL, "shuffle", "of the samples; sequential is for comparisons",
         .choices = order_names},
        {"init", OPTION_STRING, &o->init, "FILE.safetensors", NULL, "initial weights, with PyTorch's names"},
        {"max-params", OPTION_INT, &o->max_params, "N", "60000", "the budget; 0: none", .minimum = 0, .maximum = 2e9},
        {"device", OPTION_STRING, &o->compute.device, "auto|cpu|cuda[:K]", "auto", "where to compute"},
        {"threads", OPTION_INT, &o->compute.threads, "N", "0", "of the CPU; 0: all processors; changes no result",
         .minimum = 0, .maximum = 1024},
        {"gpu-memory", OPTION_SIZE, &o->compute.gpu_memory, "SIZE", "0",
         "use no more of the GPU's memory; 0: what is free"},
        {"precision", OPTION_CHOICE, &o->precision, NULL, "fp32",
         "that activations are stored in; bf16 moves half the bytes and needs a GPU", .choices = dtype_names},
        {"time-limit", OPTION_FLOAT, &o->time_limit, "SECONDS", "0", "stop after the epoch that passes it; 0: none",
         .minimum = 0, .maximum = big},
        {"name", OPTION_STRING, &o->name, "TEXT", NULL, "title of the report (the student and the loss)"},
        {"resume", OPTION_FLAG, &o->resume, NULL, NULL, "go on with the run in --out, or start it"},
        {"overwrite", OPTION_FLAG, &o->overwrite, NULL, NULL, "replace the run in --out"},
        {"quiet", OPTION_FLAG, &o->quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o->json, NULL, NULL, "the result as JSON"},
    };
    const int own = sizeof specs / sizeof *specs;
    struct option_spec *kept = arena_alloc(&o->table.arena, (size_t)(own + count), sizeof *specs);
    if (!kept)
        return error_no_memory(err, sizeof specs, "options");
    memcpy(kept, specs, sizeof specs);
    for (int i = 0; i < count; i++)
        kept[own + i] = more[i];
    o->table.command = command;
    o->table.summary = summary;
    o->table.specs = kept;
    o->table.count = own + count;
    return STATUS_OK;
}

enum status fit_options_parse(struct fit_options *options, int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    *options = (struct fit_options){0};
    TRY(fit_options_table(options, "student_train fit", "trains a student from a cache", NULL, 0, err));
    TRY(options_parse(&options->table, argc, argv, err));
    if (!options->table.help)
        TRY(fit_options_check(options, err));
cleanup:
    return status;
}

enum status fit_options_check(struct fit_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    options->schedule.rate = options->learning_rate;
    options->schedule.epochs = options->epochs;
    if (options->schedule.warmup_epochs >= options->epochs && options->schedule.warmup_epochs > 0)
        TRY(error_set(err, STATUS_USAGE, NULL, "--warmup-epochs %d leaves nothing of --epochs %d",
                      options->schedule.warmup_epochs, options->epochs));
    if (options->nesterov && (options->optimizer != OPTIMIZER_SGD || options->momentum == 0))
        TRY(error_set(err, STATUS_USAGE, NULL, "--nesterov needs --optimizer sgd and a --momentum"));
    if (options->resume && options->overwrite)
        TRY(error_set(err, STATUS_USAGE, NULL, "--resume and --overwrite exclude each other"));
cleanup:
    return status;
}

struct trainer_options fit_trainer_options(const struct fit_options *options)
{
    return (struct trainer_options){
        .batch = options->batch,
        .optimizer = {.kind = (enum optimizer_kind)options->optimizer,
                      .weight_decay = options->weight_decay,
                      .momentum = options->momentum,
                      .beta1 = options->beta1,
                      .beta2 = options->beta2,
                      .epsilon = options->epsilon,
                      .nesterov = options->nesterov,
                      .clip = options->grad_clip},
        .dtype = (enum dtype)options->precision,
        .ema_decay = options->ema,
        .seed = options->order_seed >= 0 ? (uint64_t)options->order_seed : options->seed,
        .sequential = options->order == ORDER_SEQUENTIAL,
    };
}

/* The line of a resolved configuration is about one of these keys. */
static bool line_is(const char *line, const char *const *keys)
{
    size_t length = strcspn(line, " =\n");
    for (; *keys; keys++)
        if (strlen(*keys) == length && memcmp(*keys, line, length) == 0)
            return true;
    return false;
}

/* The resolved options without some, and more text behind them. malloc'ed; NULL out of memory. */
static char *fingerprint(const struct options *table, const char *const *left_out, const char *more)
{
    char *resolved = options_resolved(table), *text = NULL;
    size_t size = 0;
    FILE *out = resolved ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(resolved);
        return NULL;
    }
    for (const char *line = resolved; *line;) {
        size_t length = strcspn(line, "\n");
        if (*line != '[' && !line_is(line, left_out))
            fprintf(out, "%.*s\n", (int)length, line);
        line += length + (line[length] != 0);
    }
    fputs(more, out);
    free(resolved);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *fit_options_fingerprint(const struct options *table)
{
    static const char *const left_out[] = {"device", "threads",   "gpu-memory", "quiet",    "json",
                                           "resume", "overwrite", "time-limit", "parallel", NULL};
    return fingerprint(table, left_out, "");
}

char *fit_identity(const struct fit_options *options, const char *cache_digest, const char *student_digest,
                   const char *init_digest)
{
    /* what may differ, and what stands there by its digest */
    static const char *const left_out[] = {"cache",  "student",   "init",       "out",   "name",
                                           "device", "threads",   "gpu-memory", "quiet", "json",
                                           "resume", "overwrite", "time-limit", NULL};
    char digests[4 * DIGEST_HEX_SIZE];
    snprintf(digests, sizeof digests, "cache = %s\nstudent = %s\ninit = %s\n", cache_digest, student_digest,
             init_digest);
    return fingerprint(&options->table, left_out, digests);
}
