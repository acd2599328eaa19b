/* The folder of a run. Besides the files of formats/report/run_log.h it holds:
 *   .lock                                 see own_folder.h
 *   config.ini                            the resolved options
 *   run.json                              what eval, predict and export need: classes, preprocessing, structure, cache
 *   student.net or student.onnx           the structure, byte for byte as it was given
 *   checkpoint                            see checkpoint.h
 *   best.safetensors, last.safetensors    weights with PyTorch's names; with --qat also the ranges of values
 *   metrics.json, report.html             only after training has ended
 */
#ifndef STUDENT_TRAIN_RUN_RUN_FOLDER_H
#define STUDENT_TRAIN_RUN_RUN_FOLDER_H

#include "formats/cache/cache.h"
#include "formats/export/model_card.h"
#include "student_train/student/student.h"
#include <cjson/cJSON.h>

/* run.json. A struct that was read owns its strings and arrays (arena); otherwise they are borrowed. */
struct run_info {
    struct arena arena;
    const char *name, *student, *loss;
    const char *structure;        /* "student.net" or "student.onnx" */
    const char *structure_digest; /* its SHA-256; "" in runs of the first versions */
    const char *cache;            /* path */
    const char *cache_digest;
    const char *kernels;    /* what computed: checkpoint.h; NULL while it is not known, and after reading */
    struct model_card card; /* preprocessing and classes */
    bool resampled; /* read from a file of an older version, whose student saw other pixels in evaluation than now */
};

/* Fills in what the cache determines; the caller fills in the rest. Borrows from the cache. */
void run_info_from_cache(struct run_info *info, const struct cache *cache);
enum status run_info_write(const struct run_info *info, const char *folder, struct error *err);
/* STATUS_NO_INPUT if the folder has no run, STATUS_BAD_DATA. */
enum status run_info_read(struct run_info *info, const char *folder, struct error *err);
void run_info_release(struct run_info *info);

/* Writes folder/file. STATUS_CANT_CREATE, STATUS_IO. */
enum status run_publish(const char *folder, const char *file, const void *bytes, size_t size, struct error *err);
/* The tree's text with a seal (formats/json.h). Takes and frees the tree. */
enum status run_publish_json(cJSON *tree, const char *folder, const char *file, struct error *err);
/* Writes the graph's weights. */
enum status run_publish_weights(const struct graph *graph, const char *folder, const char *file, struct error *err);

/* The run's student with its weights: "best", "last", or a safetensors file. */
enum status run_student(const struct run_info *info, const char *folder, const char *weights, struct student *student,
                        struct error *err);
/* Its training graph (shared/quantise/training_graph.h) with the ranges that the weights' file has. The caller releases
 * it, also after an error. */
enum status run_training_graph(const struct student *student, const char *folder, const char *weights,
                               struct graph *graph, struct error *err);

#endif
