/* The options of `student_train fit`. */
#ifndef STUDENT_TRAIN_RUN_FIT_OPTIONS_H
#define STUDENT_TRAIN_RUN_FIT_OPTIONS_H

#include "shared/base/options.h"
#include "student_train/trainer/trainer.h"

struct fit_options {
    const char *cache, *data, *student, *loss, *out, *init, *name, *sizes, *baseline, *keep_decoded;
    int epochs, batch, patience, eval_every, max_params;
    int first_size, size; /* of the student's images, in the first epochs and in the last ones; 0: as the teacher's */
    int qat_after;        /* epochs before fake quantisation, or QAT_NEVER */
    struct compute_options compute;
    int optimizer, order, order_seed, precision; /* enum optimizer_kind, ORDER_*, enum dtype */
    int select_on, decay, images;                /* SELECT_ON_*, DECAY_*, IMAGES_* */
    double learning_rate, weight_decay, momentum, beta1, beta2, epsilon, grad_clip, ema;
    bool nesterov, resume, overwrite, quiet, json, allow_mixed;
    struct schedule schedule;
    uint64_t seed, max_activation_bytes; /* of the latter 0: no limit */
    double time_limit;
    const char *variables; /* of a sweep's loss, as lines "T = 4", borrowed; NULL: none */
    struct options table;
};

enum { ORDER_SHUFFLE, ORDER_SEQUENTIAL };
enum { SELECT_ON_ALL, SELECT_ON_HALF };
enum { IMAGES_AUTO, IMAGES_MEMORY, IMAGES_DISK };
enum { DECAY_ALL, DECAY_WEIGHTS };
enum { SIZE_STEP = 32 };
enum { QAT_NEVER = -1 };

/* Fills options->table for a command that takes fit's options, followed by `count` of its own; one of those with a
 * reason to refuse it stands for the option of fit of that name, which the command does not take. The table points into
 * the struct, which must not move. */
enum status fit_options_table(struct fit_options *options, const char *command, const char *summary,
                              const struct option_spec *more, int count, struct error *err);
/* Checks parsed options against one another, and fills in what follows from them. */
enum status fit_options_check(struct fit_options *options, struct error *err);
/* Makes fit's table, parses argv, and checks the options. The caller releases the table with options_release. */
enum status fit_options_parse(struct fit_options *options, int argc, char **argv, struct error *err);
/* The side of the images of an epoch, counted from 0: every size from the first to the last for an equal share of the
 * epochs, SIZE_STEP pixels apart. It is options->size without `--size A:B`. */
int fit_options_size(const struct fit_options *options, int epoch);
/* Does an epoch, counted from 0, train with fake quantisation? And is it one of the last half of those (rounded down),
 * in which running statistics and ranges stay as they are, so that what trains is the integer network itself? */
bool fit_options_quantise(const struct fit_options *options, int epoch);
bool fit_options_settle(const struct fit_options *options, int epoch);
/* After so many epochs, the first one (from 0) that competes for the best: not those that trained in another form. */
int fit_options_first_compared(const struct fit_options *options, int epochs);
/* The options that the trainer takes. */
struct trainer_options fit_trainer_options(const struct fit_options *options);

#endif
