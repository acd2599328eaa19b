/* Which plan computes a convolution, and how much is fused into it. Equal convolutions share one choice, which is kept
 * on disk if a folder is given. */
#ifndef SHARED_INFERENCE_CUDNN_CONV_CHOICE_H
#define SHARED_INFERENCE_CUDNN_CONV_CHOICE_H

#include "shared/inference/cudnn/conv_plan.h"

struct conv_choice {
    struct conv_problem problem;
    struct conv_plan *plan; /* NULL: cuDNN has none */
    bool fused;             /* with addend and activation; otherwise another kernel must compute them afterwards */
};

enum { CONV_CANDIDATES = 3 }; /* engines that are compiled at run time take about a second each */

/* Zero-initialise it, then set device (borrowed) and, if wanted, the next four. */
struct conv_chooser {
    const struct conv_device *device;
    const char *folder; /* or NULL */
    bool tune;
    cudnnHandle_t handle; /* for tuning */
    size_t memory_limit;  /* bytes of device memory for tuning; 0: what is free */
    struct conv_choice **choices;
    int count;
    size_t capacity;
};

/* The chooser owns *choice. */
enum status conv_choose(struct conv_chooser *chooser, const struct conv_problem *problem,
                        const struct conv_choice **choice, struct error *err);
void conv_chooser_release(struct conv_chooser *chooser);

/* The problem without what follows the bias: what a plan computes that is not fused. */
struct conv_problem conv_problem_unfused(const struct conv_problem *problem);

/* ---- conv_choice_file.c ---- */

/* Looks for a kept choice; choice->plan stays NULL if there is none that is complete and accepted. */
enum status conv_choice_read(const struct conv_chooser *chooser, struct conv_choice *choice, struct error *err);
enum status conv_choice_write(const struct conv_chooser *chooser, const struct conv_choice *choice, struct error *err);

/* ---- conv_tune.c ---- */

/* Times the plans for a problem on the GPU and puts the fastest first. Waits. If there is not enough memory to run them
 * (memory_limit bytes; 0: what is free), the order stays. */
enum status conv_tune(const struct conv_problem *problem, cudnnHandle_t handle, size_t memory_limit,
                      struct conv_plan **plans, int count, struct error *err);

#endif
