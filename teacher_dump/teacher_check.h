/* The check before the hours: some labelled photos go through the pipeline of the run, and what the teacher says about
 * them shows mistakes that would otherwise be seen a night later.
 *
 * Photos: up to CHECK_PHOTOS of the validation split (of test, if only that has labels) and CHECK_TRAIN_PHOTOS of the
 * training split, of all classes alike, by the seed. They are scored on their plain views. */
#ifndef TEACHER_DUMP_TEACHER_CHECK_H
#define TEACHER_DUMP_TEACHER_CHECK_H

#include "shared/base/threads.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/photo_sample.h"

enum { CHECK_PHOTOS = 200, CHECK_TRAIN_PHOTOS = 100 };
enum { TEACHER_CHECK_STOP, TEACHER_CHECK_WARN, TEACHER_CHECK_OFF };
extern const char *const teacher_check_names[]; /* "stop", "warn", "off", NULL */

enum check_finding {
    FINDING_NONE,
    FINDING_PROBABILITIES, /* the outputs are probabilities */
    FINDING_ORDER,         /* the predictions fit another order of the classes much better */
    FINDING_NORMALISATION, /* another mean, std or order of the channels is much better */
    FINDING_CHANCE,        /* the predictions are no better than guessing, and nothing else was found */
    FINDING_COUNT
};
/* "", "probabilities", "order", "normalisation", "chance": in a manifest. */
extern const char *const check_finding_names[FINDING_COUNT];

struct teacher_check {
    struct cache_check score; /* its finding is the first one's name */
    bool labelled;            /* whether there were labels */
    bool found;
    char message[1000]; /* the findings, and what to do: a sentence that goes on after the teacher's name; or "" */
    int *order;   /* [classes] or NULL: with FINDING_ORDER, which of the present classes should be class i. malloc'ed */
    bool natural; /* and whether that is the natural order */
};

/* views: of the job's started teacher; nothing may be in flight. STATUS_INTERRUPTED after a SIGINT. Otherwise it fails
 * only as the teacher fails: findings are no errors. */
enum status teacher_check_run(const struct dump_job *job, struct view_batch *views, struct thread_pool *pool,
                              struct teacher_check *check, struct error *err);
void teacher_check_release(struct teacher_check *check); /* a zeroed one is allowed */
/* Runs the check, notes the score on progress and puts it into the job's manifest. With a finding: STATUS_CONFIG, or a
 * warning, as --teacher-check says. teacher_check_report.c */
enum status teacher_check_report(struct dump_job *job, struct view_batch *views, struct thread_pool *pool,
                                 struct progress *progress, struct error *err);

/* ---- teacher_check_order.c ---- */

/* What the teacher predicted for some photos. */
struct predictions {
    const int *labels, *predicted; /* [count] */
    const int *rounds;             /* [count] photos of one round are of different classes */
    int count, classes;
    const char *const *names; /* [classes] */
};
/* Whether another order of the classes fits the predictions much better: order[classes] gets it, *right how many
 * predictions it makes right. First the natural one, then any: one that is fitted to every second photo of a class,
 * and counts only where it makes the others right. */
void check_natural_order(const struct predictions *predictions, int *order, bool *found, int *right);
enum status check_fitted_order(const struct predictions *predictions, int *order, bool *found, int *right,
                               struct error *err);

/* ---- teacher_check_inputs.c ---- */

/* A way to make the teacher's input of pixels. */
struct input_form {
    const char *name; /* "ImageNet's" */
    float mean[3], std[3];
    bool bgr;
};
enum { INPUT_FORMS = 12 };
/* The usual ones that are not `present`; returns how many. */
int check_input_forms(const struct input_form *present, int channels, struct input_form forms[INPUT_FORMS]);
/* "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --channels bgr": the options that lead from `present` to `form`. */
void check_input_options(const struct input_form *present, const struct input_form *form, int channels, char *text,
                         size_t size);

/* Whether mean or std are of pixels from 0 to 255 rather than from 0 to 1: then text gets the options divided. */
bool check_pixel_range(const double mean[3], const double std[3], char *text, size_t size);

#endif
