/* The files that a training run writes into its folder while it runs:
 *
 *   summary.csv                 one row per epoch; no wall-clock value, so that the same fit gives the same bytes. The
 *                               columns have the names, and accuracies the unit (percent), of timm's summary.csv:
 *                               epoch, train_loss, eval_loss, eval_top1, lr; then ours: train_top1, eval_agreement
 *                               (percent), loss_TERM (unweighted). An empty field was not measured
 *   log.jsonl                   one JSON object per event, with time, speed and seconds; a resumed run appends
 *   events.out.tfevents.*       the same numbers for TensorBoard; one file per start
 *
 * Order per epoch: run_log_epoch, then run_log_sync, then the checkpoint: so a checkpoint never has an epoch that
 * summary.csv lacks, and a run resumed from it ends with the summary.csv of an uninterrupted one. */
#ifndef FORMATS_REPORT_RUN_LOG_H
#define FORMATS_REPORT_RUN_LOG_H

#include "shared/base/error.h"
#include <stdint.h>

enum { RUN_MAX_TERMS = 32 };
/* Columns of summary.csv that other parts read, in percent. */
#define SUMMARY_ACCURACY "eval_top1"
#define SUMMARY_AGREEMENT "eval_agreement"

/* One epoch. NAN: not measured (an empty field). Accuracies and agreement in [0, 1]. */
struct run_epoch {
    int epoch; /* from 1 */
    double learning_rate;
    double train_loss;
    double terms[RUN_MAX_TERMS]; /* [term_count] mean of every loss term, unweighted */
    double train_accuracy;
    double val_loss, val_accuracy;
    double agreement; /* share of validation samples where student and teacher predict the same class */
    double images_per_second, seconds; /* not in summary.csv; NAN for epochs of an earlier start */
};

struct run_log;

/* Opens the log of a run in an existing folder. terms[term_count]: names of the loss terms, the columns "loss_NAME".
 * first_epoch 1 starts a new log (an old summary.csv and log.jsonl are replaced); k + 1 resumes after epoch k and
 * removes later rows. STATUS_BAD_DATA if summary.csv lacks an epoch of 1..k, STATUS_CONFIG if its columns differ. */
enum status run_log_open(struct run_log **out, const char *folder, const char *const *terms, int term_count,
                         int first_epoch, struct error *err);
void run_log_close(struct run_log *log); /* NULL is allowed */

/* Appends one epoch to all three files; epochs must come in order. STATUS_IO. */
enum status run_log_epoch(struct run_log *log, const struct run_epoch *epoch, struct error *err);
/* Waits until summary.csv is on the disk. STATUS_IO. */
enum status run_log_sync(struct run_log *log, struct error *err);

struct run_field {
    const char *name, *text; /* text NULL: number */
    double number;
};
/* Appends {"event": event, "time": "2026-11-21T20:43:00Z", fields...} to log.jsonl. STATUS_IO. */
enum status run_log_event(struct run_log *log, const char *event, const struct run_field *fields, int count,
                          struct error *err);

/* For TensorBoard's page of hyperparameters. options: lines "name = value"; values that are numbers become numbers.
 * Lines without " = " are skipped. STATUS_IO, STATUS_INTERNAL. */
enum status run_log_hparams(struct run_log *log, const char *options, struct error *err);
/* The run has ended well: its confusion matrix (confusion_picture.h; NULL: none) and TensorBoard's mark. */
enum status run_log_success(struct run_log *log, const uint32_t *confusion, int classes, struct error *err);

/* All epochs so far, also those before a resume: [*count], valid until the next run_log_epoch. For the report. */
const struct run_epoch *run_log_epochs(const struct run_log *log, int *count);

#endif
