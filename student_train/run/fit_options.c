#include "student_train/run/fit_options.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64 };
static const double BIG = 1e9;

static const char *const optimizer_names[] = {
    [OPTIMIZER_SGD] = "sgd", [OPTIMIZER_ADAM] = "adam", [OPTIMIZER_ADAMW] = "adamw", NULL};
static const char *const dtype_names[] = {[DTYPE_FP32] = "fp32", [DTYPE_BF16] = "bf16", NULL};
static const char *const schedule_by_names[] = {[SCHEDULE_BY_EPOCH] = "epoch", [SCHEDULE_BY_STEP] = "step", NULL};
static const char *const decay_names[] = {[DECAY_ALL] = "all", [DECAY_WEIGHTS] = "weights", NULL};
static const char *const select_names[] = {[SELECT_ON_ALL] = "all", [SELECT_ON_HALF] = "half", NULL};
static const char *const images_names[] = {
    [IMAGES_AUTO] = "auto", [IMAGES_MEMORY] = "memory", [IMAGES_DISK] = "disk", NULL};
static const char *const order_names[] = {[ORDER_SHUFFLE] = "shuffle", [ORDER_SEQUENTIAL] = "sequential", NULL};

/* An option table in the making. */
struct spec_list {
    struct option_spec specs[MAX_OPTIONS];
    int count;
};

static void append(struct spec_list *list, const struct option_spec *specs, size_t count)
{
    assert((size_t)list->count + count <= MAX_OPTIONS);
    memcpy(list->specs + list->count, specs, count * sizeof *specs);
    list->count += (int)count;
}

/* What is trained, and on what. */
static void add_task(struct spec_list *list, struct fit_options *o, bool student_required)
{
    const struct option_spec specs[] = {
        {"cache", OPTION_STRING, &o->cache, "CACHE", NULL, "the cache to train from", .required = true},
        {"data", OPTION_STRING, &o->data, "DIR", NULL,
         "where the photos of a cache with linked images are now, if they have moved"},
        {"student", OPTION_STRING, &o->student, "PRESET|FILE.net|FILE.onnx", NULL, "the network to train",
         .required = student_required},
        {"loss", OPTION_STRING, &o->loss, "EXPR", "ce",
         "for example '0.1*ce + 0.9*kd(T=4)'; `student_train losses` lists the terms"},
        {"epochs", OPTION_INT, &o->epochs, "N", "100",
         "passes over the training set; each pass sees one view of every image", .minimum = 1, .maximum = 1e6},
        {"qat", OPTION_INT, &o->qat_after, "N", NULL,
         "train for 8-bit integers after the first N epochs: with values and weights rounded as export --int8 rounds "
         "them; 0: from the beginning",
         .minimum = 0, .maximum = 1e6},
        {"out", OPTION_STRING, &o->out, "RUN", NULL, "folder for all files of the run", .required = true},
        {"batch", OPTION_INT, &o->batch, "N", "128", "images per step", .minimum = 1, .maximum = 65536},
        {"size", OPTION_STRING, &o->sizes, "N|A:B", "0",
         "side of the student's images in pixels; 0: as the teacher's; 96:160: 96, 128 and 160 pixels, each in a third "
         "of the epochs, evaluated with 160"},
    };
    append(list, specs, sizeof specs / sizeof *specs);
}

/* How the weights change. */
static void add_optimizer(struct spec_list *list, struct fit_options *o)
{
    const struct option_spec specs[] = {
        {"optimizer", OPTION_CHOICE, &o->optimizer, NULL, "adam", "as in torch.optim", .choices = optimizer_names},
        {"lr", OPTION_FLOAT, &o->learning_rate, "X", "1e-3", "learning rate", .minimum = 0, .maximum = BIG},
        {"weight-decay", OPTION_FLOAT, &o->weight_decay, "X", "1e-5", "L2 penalty; decoupled with adamw", .minimum = 0,
         .maximum = BIG},
        {"decay", OPTION_CHOICE, &o->decay, NULL, "all",
         "what --weight-decay acts on: all parameters, or only weights, not biases, norms and scales",
         .choices = decay_names},
        {"momentum", OPTION_FLOAT, &o->momentum, "X", "0.9", "momentum of sgd", .minimum = 0, .maximum = 1},
        {"nesterov", OPTION_FLAG, &o->nesterov, NULL, NULL, "sgd with Nesterov momentum"},
        {"beta1", OPTION_FLOAT, &o->beta1, "X", "0.9", "decay of adam's first moment", .minimum = 0,
         .maximum = 0.999999},
        {"beta2", OPTION_FLOAT, &o->beta2, "X", "0.999", "decay of adam's second moment", .minimum = 0,
         .maximum = 0.99999999},
        {"epsilon", OPTION_FLOAT, &o->epsilon, "X", "1e-8", "added to adam's denominator", .minimum = 1e-30,
         .maximum = 1},
        {"grad-clip", OPTION_FLOAT, &o->grad_clip, "X", "10", "largest gradient norm; 0: no limit", .minimum = 0,
         .maximum = BIG},
        {"schedule", OPTION_CHOICE, &o->schedule.kind, NULL, "constant",
         "how the learning rate changes from epoch to epoch", .choices = schedule_names},
        {"schedule-by", OPTION_CHOICE, &o->schedule.by_step, NULL, "epoch",
         "whether cosine and restarts move once per epoch or with every step", .choices = schedule_by_names},
        {"warmup-epochs", OPTION_INT, &o->schedule.warmup_epochs, "N", "0",
         "epochs of linear rise from 0 before the schedule begins", .minimum = 0, .maximum = 1e6},
        {"min-lr", OPTION_FLOAT, &o->schedule.minimum, "X", "0", "learning rate at the end of cosine and restarts",
         .minimum = 0, .maximum = BIG},
        {"step-epochs", OPTION_INT, &o->schedule.step_epochs, "N", "30", "for step: epochs between two reductions",
         .minimum = 1, .maximum = 1e6},
        {"gamma", OPTION_FLOAT, &o->schedule.gamma, "X", "0.1", "for step: the factor of a reduction", .minimum = 0,
         .maximum = 1},
        {"restart-epochs", OPTION_INT, &o->schedule.restart_epochs, "N", "10",
         "for restarts: epochs of the first round", .minimum = 1, .maximum = 1e6},
        {"restart-factor", OPTION_INT, &o->schedule.restart_factor, "N", "2",
         "for restarts: each round is this many times longer", .minimum = 1, .maximum = 100},
        {"ema", OPTION_FLOAT, &o->ema, "X", "0",
         "decay of the moving average of the weights, for example 0.999; 0: no average", .minimum = 0,
         .maximum = 0.9999999},
    };
    append(list, specs, sizeof specs / sizeof *specs);
}

/* How a run begins and ends. */
static void add_course(struct spec_list *list, struct fit_options *o)
{
    const struct option_spec specs[] = {
        {"patience", OPTION_INT, &o->patience, "N", "0", "stop after N epochs without a new best epoch; 0: never",
         .minimum = 0, .maximum = 1e6},
        {"eval-every", OPTION_INT, &o->eval_every, "N", "1", "epochs between validations", .minimum = 1,
         .maximum = 1e6},
        {"select-on", OPTION_CHOICE, &o->select_on, NULL, "all",
         "validation samples that choose the best epoch and rank runs; half: every second one, and only the others are "
         "reported",
         .choices = select_names},
        {"seed", OPTION_UINT64, &o->seed, "N", "0", "seed of initial weights, order of samples and views, and dropout"},
        {"order-seed", OPTION_INT, &o->order_seed, "N", "-1",
         "separate seed of the order of samples and views; -1: --seed", .minimum = -1, .maximum = 2e9},
        {"order", OPTION_CHOICE, &o->order, NULL, "shuffle", "order of the samples; sequential is for comparisons",
         .choices = order_names},
        {"init", OPTION_STRING, &o->init, "FILE.safetensors", NULL, "initial weights, with PyTorch's names"},
        {"max-params", OPTION_INT, &o->max_params, "N", "60000", "largest number of parameters allowed; 0: no limit",
         .minimum = 0, .maximum = 2e9},
        {"max-activation-bytes", OPTION_SIZE, &o->max_activation_bytes, "SIZE", NULL,
         "most RAM that student.c in 8-bit integers may need for one image, such as 64K; default: no limit"},
    };
    append(list, specs, sizeof specs / sizeof *specs);
}

/* How it is computed and what is printed. */
static void add_execution(struct spec_list *list, struct fit_options *o)
{
    const struct option_spec specs[] = {
        COMPUTE_OPTIONS(o->compute),
        {"images", OPTION_CHOICE, &o->images, NULL, "auto",
         "on the CPU: where the decoded training images are; disk: in a file without a name in --out, which is gone "
         "when "
         "the program ends; auto: there if they may take more than half of the memory",
         .choices = images_names},
        {"keep-decoded", OPTION_STRING, &o->keep_decoded, "DIR", NULL,
         "keep the decoded images of the cache in this folder, for all later runs on it: they start without decoding; "
         "a "
         "fast local disk is best"},
        {"precision", OPTION_CHOICE, &o->precision, NULL, "fp32",
         "type of stored activations; bf16 takes half the memory and moves half the bytes, and processors with AVX-512 "
         "BF16 multiply it in half the time; a GPU needs compute capability 8.0 or newer. Validation during training "
         "computes so, too; eval, predict and exports compute in "
         "fp32",
         .choices = dtype_names},
        {"time-limit", OPTION_FLOAT, &o->time_limit, "SECONDS", "0",
         "stop after the epoch that exceeds it; 0: no limit", .minimum = 0, .maximum = BIG},
        {"baseline", OPTION_STRING, &o->baseline, "RUN", NULL,
         "a finished run on the same classes, such as one with --loss ce: the report shows the change per class"},
        {"name", OPTION_STRING, &o->name, "TEXT", NULL, "title of the report; default: the student and the loss"},
        {"resume", OPTION_FLAG, &o->resume, NULL, NULL, "resume the run in --out, or start it if there is none"},
        {"allow-mixed", OPTION_FLAG, &o->allow_mixed, NULL, NULL,
         "--resume also where another instruction set or GPU computes, whose results differ in their last bits; "
         "run.json "
         "then names both"},
        {"overwrite", OPTION_FLAG, &o->overwrite, NULL, NULL, "replace the run in --out"},
        {"quiet", OPTION_FLAG, &o->quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o->json, NULL, NULL, "print the result as JSON"},
    };
    append(list, specs, sizeof specs / sizeof *specs);
}

static void refuse(struct spec_list *list, const struct option_spec *spec)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->specs[i].name, spec->name) == 0)
            list->specs[i].refused = spec->refused;
}

enum status fit_options_table(struct fit_options *o, const char *command, const char *summary,
                              const struct option_spec *more, int count, struct error *err)
{
    struct spec_list *list = arena_alloc(&o->table.arena, 1, sizeof *list);
    if (!list)
        return error_no_memory(err, sizeof *list, "options");
    list->count = 0;
    o->qat_after = QAT_NEVER;
    add_task(list, o, count == 0); /* a sweep may have the student in its grid */
    add_optimizer(list, o);
    add_course(list, o);
    add_execution(list, o);
    for (int i = 0; i < count; i++)
        if (more[i].refused)
            refuse(list, &more[i]);
        else
            append(list, &more[i], 1);
    o->table.command = command;
    o->table.summary = summary;
    o->table.specs = list->specs;
    o->table.count = list->count;
    return STATUS_OK;
}

enum status fit_options_parse(struct fit_options *options, int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    *options = (struct fit_options){0};
    TRY(fit_options_table(options, "student_train fit", "trains a student from a cache", NULL, 0, err));
    TRY(options_parse(&options->table, argc, argv, err));
    TRY(fit_options_check(options, err));
cleanup:
    return status;
}

static bool read_size(const char *text, int *size, const char **end)
{
    char *stop;
    const long number = strtol(text, &stop, 10);
    *end = stop;
    *size = (int)number;
    return isdigit((unsigned char)*text) && number >= 0 && number <= VIEW_MAX_SIZE;
}

static enum status parse_sizes(struct fit_options *options, struct error *err)
{
    const char *end;
    bool right = read_size(options->sizes, &options->first_size, &end);
    options->size = options->first_size;
    if (right && *end == ':')
        right = read_size(end + 1, &options->size, &end) && options->first_size > 0 &&
                options->first_size < options->size && (options->size - options->first_size) % SIZE_STEP == 0;
    if (right && *end == 0)
        return STATUS_OK;
    return error_set(err, STATUS_USAGE, NULL,
                     "--size '%s': write a number of pixels up to %d, such as 112, or a smaller and a larger one that "
                     "are a multiple of %d apart, such as 96:160",
                     options->sizes, VIEW_MAX_SIZE, SIZE_STEP);
}

int fit_options_size(const struct fit_options *options, int epoch)
{
    const int sizes = (options->size - options->first_size) / SIZE_STEP + 1;
    return options->first_size + SIZE_STEP * (int)((int64_t)epoch * sizes / options->epochs);
}

enum status fit_options_check(struct fit_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    options->schedule.rate = options->learning_rate;
    options->schedule.epochs = options->epochs;
    TRY(parse_sizes(options, err));
    if (options->schedule.warmup_epochs >= options->epochs && options->schedule.warmup_epochs > 0)
        FAIL(error_set(err, STATUS_USAGE, NULL, "--warmup-epochs %d must be less than --epochs %d",
                       options->schedule.warmup_epochs, options->epochs));
    if (options->qat_after >= options->epochs)
        FAIL(error_set(err, STATUS_USAGE, NULL, "--qat %d must be less than --epochs %d", options->qat_after,
                       options->epochs));
    if (options->nesterov && (options->optimizer != OPTIMIZER_SGD || options->momentum == 0))
        FAIL(error_set(err, STATUS_USAGE, NULL, "--nesterov needs --optimizer sgd and --momentum above 0"));
    if (options->resume && options->overwrite)
        FAIL(error_set(err, STATUS_USAGE, NULL, "--resume and --overwrite cannot be combined; give one of them"));
cleanup:
    return status;
}

bool fit_options_quantise(const struct fit_options *options, int epoch)
{
    return options->qat_after != QAT_NEVER && epoch >= options->qat_after;
}

bool fit_options_settle(const struct fit_options *options, int epoch)
{
    return fit_options_quantise(options, epoch) &&
           epoch - options->qat_after >= (options->epochs - options->qat_after + 1) / 2;
}

int fit_options_first_compared(const struct fit_options *options, int epochs)
{
    return fit_options_quantise(options, epochs - 1) ? options->qat_after : 0;
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
        .spare_vectors = options->decay == DECAY_WEIGHTS,
        .dtype = (enum dtype)options->precision,
        .ema_decay = options->ema,
        .seed = options->order_seed >= 0 ? (uint64_t)options->order_seed : options->seed,
        .sequential = options->order == ORDER_SEQUENTIAL,
    };
}
