/* report.html: one self-contained page about a run. No network, no library: inline SVG and CSS, light and dark. */
#ifndef FORMATS_REPORT_REPORT_HTML_H
#define FORMATS_REPORT_REPORT_HTML_H

#include "formats/report/html_page.h"
#include "formats/report/reliability.h"
#include "formats/report/run_log.h"
#include "shared/base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Everything is borrowed. NAN, 0 and NULL mean unknown or absent: that part of the page is left out. */
struct report {
    const char *title;    /* "dwpw, 0.1*ce + 0.9*kd(T=4)" */
    const char *subtitle; /* one line: cache, size, device */
    const char *split;    /* the split that the numbers were measured on: "val" */
    /* headline numbers; accuracies and agreement in [0, 1] */
    double student_accuracy, teacher_accuracy, agreement;
    long parameters, max_parameters;
    double images_per_second; /* training speed over the whole run */
    double seconds;           /* training time of the whole run */
    /* curves */
    const struct run_epoch *epochs; /* [epoch_count] */
    int epoch_count;
    const char *const *terms; /* [term_count] names of the loss terms */
    int term_count;
    int best_epoch; /* the epoch whose weights were kept; 0: mark none */
    /* classes */
    const char *const *classes; /* [class_count] */
    int class_count;
    const uint32_t *confusion;             /* [class_count, class_count]: row = true class, column = predicted */
    const double *teacher_class_accuracy;  /* [class_count] */
    const double *baseline_class_accuracy; /* [class_count] of another run; NULL: there is none */
    const char *baseline_title;            /* "Change per class against ce, in points" */
    /* calibration; NULL: unknown */
    const struct reliability *student_reliability, *teacher_reliability;
    const struct photo_card *disagreements; /* [disagreement_count] the most striking first */
    int disagreement_count;
    const char *config; /* the resolved configuration (options_resolved) */
};

/* The page as text, malloc'ed (the caller frees it). STATUS_INTERNAL. */
enum status report_html(const struct report *report, char **text, struct error *err);
/* Publishes it as file `path`. STATUS_CANT_CREATE, STATUS_IO, STATUS_INTERNAL. */
enum status report_publish(const struct report *report, const char *path, struct error *err);

/* ---- between report_html.c and report_classes.c ---- */
/* The section about classes; false when out of memory. */
bool report_classes(FILE *out, const struct report *report);

#endif
