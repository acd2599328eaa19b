/* Plans stage one's engine for a GPU that is not in this machine: what cuDNN would run, and how much memory it needs.
 * */
#ifndef SHARED_INFERENCE_CUDA_TEACHER_PLANNER_H
#define SHARED_INFERENCE_CUDA_TEACHER_PLANNER_H

#include "shared/inference/cuda/teacher_runner.h"

struct teacher_plan_report {
    int convolutions; /* for cuDNN: all but depthwise ones, which have a kernel of our own */
    int planned;      /* those that cuDNN has a plan for; the others would run on a slow kernel of ours */
    int fused;        /* plans that compute addend and activation too; the others fuse the bias only */
    size_t value_bytes, weight_bytes, workspace;
    char library[64]; /* "cuDNN 9.19.0" */
};

struct teacher_planner_ops {
    /* device_json: the GPU as cuDNN describes it (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION). Needs neither a GPU nor a
     * driver; without a driver, the plans have no engines that are compiled at run time. */
    enum status (*plan)(const struct graph *graph, const struct teacher_runner_options *options,
                        const char *device_json, struct teacher_plan_report *report, struct error *err);
};

#define TEACHER_PLANNER_SYMBOL "softcache_teacher_planner_1"

#endif
