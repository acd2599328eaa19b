/* What all pages have in common: head and end, tiles with a number each, pictures, and photos with what networks say
 * about them. A page is one file without network, library or script; texts are escaped here. */
#ifndef FORMATS_REPORT_HTML_PAGE_H
#define FORMATS_REPORT_HTML_PAGE_H

#include "shared/base/error.h"
#include "shared/tensor/image.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Everything up to <main>, with the title also as heading. */
void html_page_begin(FILE *out, const char *title, const char *subtitle);
void html_page_end(FILE *out);

/* A number with its name above and a remark below: html_tile_open, the number, html_tile_remark, the remark,
 * html_tile_close, between <div class="tiles"> and </div>. main: the number that the page is about. */
void html_tile_open(FILE *out, const char *name, bool main);
void html_tile_remark(FILE *out);
void html_tile_close(FILE *out);
void html_thousands(FILE *out, uint64_t number); /* 51339 -> 51,339 */

/* An <img> that contains the picture as JPEG. text: for readers who cannot see it. STATUS_INTERNAL. */
enum status html_picture(FILE *out, const struct image *image, const char *text, struct error *err);

/* ---- what a network says about a photo ---- */

enum { ANSWER_CLASSES = 3 };
struct photo_answer {
    const char *who; /* "teacher"; NULL: nobody needs to be named */
    int count;       /* of the classes with the highest probabilities, the highest first */
    int classes[ANSWER_CLASSES];
    double probabilities[ANSWER_CLASSES]; /* [0, 1] */
};
/* The highest of probabilities[classes], the first of equal ones first. */
struct photo_answer photo_answer_of(const char *who, const double *probabilities, int classes);

struct photo_card {
    const struct image *image;
    const char *title, *note;           /* NULL: none */
    int label;                          /* the true class, which is marked in the answers; -1: unknown */
    bool label_shown;                   /* and also named above them */
    const struct photo_answer *answers; /* [answer_count] */
    int answer_count;
};
/* The photo with a bar for each class of each answer, between <div class="photos"> and </div>. classes: all names.
 * STATUS_INTERNAL. */
enum status html_photo(FILE *out, const struct photo_card *card, const char *const *classes, struct error *err);

#endif
