/* The folder of a run. Besides what formats/report/run_log.h writes it holds
 *   config.ini         the resolved options
 *   run.json           what eval, predict and export need to know: classes, preprocessing, structure file, cache
 *   student.net|.onnx  the structure, byte for byte as it was given
 *   checkpoint         see checkpoint.h
 *   best.safetensors, last.safetensors    weights with PyTorch's names
 *   metrics.json, report.html             when training has ended
 */
#ifndef STUDENT_TRAIN_RUN_RUN_FOLDER_H
#define STUDENT_TRAIN_RUN_RUN_FOLDER_H

#include "formats/cache/cache.h"
#include "student_train/student/student.h"

/* All strings and arrays belong to the arena, or are borrowed by a writer. */
struct run_info {
    struct arena arena;
    const char *name, *student, *loss;
    const char *structure; /* "student.net" or "student.onnx" */
    const char *cache;     /* path */
    const char *cache_digest;
    const char *const *classes; /* [class_count] */
    int class_count;
    int channels, size, crop, base; /* size: what the student sees; crop: the teacher's */
    float mean[3], std[3];
};

/* Fills in what comes from the cache; the rest is the caller's. Everything stays borrowed. */
void run_info_from_cache(struct run_info *info, const struct cache *cache);
enum status run_info_write(const struct run_info *info, const char *folder, struct error *err);
/* STATUS_NO_INPUT when there is no run, STATUS_BAD_DATA. */
enum status run_info_read(struct run_info *info, const char *folder, struct error *err);
void run_info_release(struct run_info *info);

/* A file of the folder. STATUS_CANT_CREATE, STATUS_IO. */
enum status run_publish(const char *folder, const char *file, const void *bytes, size_t size, struct error *err);
/* The graph's weights as folder/file. */
enum status run_publish_weights(const struct graph *graph, const char *folder, const char *file, struct error *err);

/* The run's student with its weights: "best", "last", or a safetensors file. */
enum status run_student(const struct run_info *info, const char *folder, const char *weights, struct student *student,
                        struct error *err);

#endif
