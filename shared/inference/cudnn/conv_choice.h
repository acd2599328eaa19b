/* Which plan computes a convolution, and how much is fused into it. Chosen once for equal convolutions, kept on
 * disk where a folder is given. */
#ifndef SHARED_INFERENCE_CUDNN_CONV_CHOICE_H
#define SHARED_INFERENCE_CUDNN_CONV_CHOICE_H

#include "shared/inference/cudnn/conv_plan.h"

struct conv_choice {
    struct conv_problem problem;
    struct conv_plan *plan; /* NULL: cuDNN has none */
    bool fused;             /* with addend and activation; otherwise they remain to be done after it */
};

enum { CONV_CANDIDATES = 8 };

/* Zero-initialised but for device (borrowed) and, where wanted, the next three. */
struct conv_chooser {
    const struct conv_device *device;
    const char *folder; /* or NULL */
    bool tune;
    cudnnHandle_t handle; /* for tuning */
    struct conv_choice **choices;
    int count;
    size_t capacity;
};

/* *choice is the chooser's. */
enum status conv_choose(struct conv_chooser *chooser, const struct conv_problem *problem,
                        const struct conv_choice **choice, struct error *err);
void conv_chooser_release(struct conv_chooser *chooser);

/* The problem without what follows the bias: what a plan computes that is not fused. */
struct conv_problem conv_problem_unfused(const struct conv_problem *problem);

/* ---- conv_choice_file.c ---- */

/* Looks for a kept choice; choice->plan stays NULL where there is none that is whole and accepted. */
enum status conv_choice_read(const struct conv_chooser *chooser, struct conv_choice *choice, struct error *err);
enum status conv_choice_write(const struct conv_chooser *chooser, const struct conv_choice *choice, struct error *err);

/* ---- conv_tune.c ---- */

/* Times plans (of the problem, which is what they compute) on the GPU and puts the fastest first. Waits. */
enum status conv_tune(const struct conv_problem *problem, cudnnHandle_t handle, struct conv_plan **plans, int count,
                      struct error *err);

#endif
