/* The options of `student_train fit`. */
#ifndef STUDENT_TRAIN_RUN_FIT_OPTIONS_H
#define STUDENT_TRAIN_RUN_FIT_OPTIONS_H

#include "shared/base/options.h"
#include "student_train/trainer/trainer.h"

struct fit_options {
    const char *cache, *student, *loss, *out, *init, *name;
    int epochs, batch, size, patience, eval_every, max_params;
    struct compute_options compute;
    int optimizer, order, order_seed, precision; /* enum optimizer_kind, ORDER_*, enum dtype */
    double learning_rate, weight_decay, momentum, beta1, beta2, epsilon, grad_clip, ema;
    bool nesterov, resume, overwrite, quiet, json;
    struct schedule schedule; /* its kind, minimum, warm-up, steps */
    uint64_t seed;
    double time_limit;
    struct options table;
};

enum { ORDER_SHUFFLE, ORDER_SEQUENTIAL };

/* Fills options->table for a command that takes fit's options and `count` more of its own after them. The table needs
 * the targets' addresses: the struct must not move. */
enum status fit_options_table(struct fit_options *options, const char *command, const char *summary,
                              const struct option_spec *more, int count, struct error *err);
/* Checks parsed options together, and fills in what follows from them. */
enum status fit_options_check(struct fit_options *options, struct error *err);
/* Parses and checks what needs nothing but the options. When options->table.help is set, help was asked for and nothing
 * else is filled. Release the table with options_release. */
enum status fit_options_parse(struct fit_options *options, int argc, char **argv, struct error *err);
/* The trainer's part of them. */
struct trainer_options fit_trainer_options(const struct fit_options *options);

/* The resolved options without those that change no result, "key = value" lines; malloc'ed, NULL out of memory. */
char *fit_options_fingerprint(const struct options *table);
/* What must be equal for a run to go on: every option that changes its result, "key = value" lines, with the digests in
 * place of the paths of cache, student and initial weights. malloc'ed; NULL out of memory. */
char *fit_identity(const struct fit_options *options, const char *cache_digest, const char *student_digest,
                   const char *init_digest);

#endif
