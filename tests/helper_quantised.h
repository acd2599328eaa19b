/* A student with random weights and its integers, pictures and the logits of both; and a folder of their files. */
#ifndef TESTS_HELPER_QUANTISED_H
#define TESTS_HELPER_QUANTISED_H

#include "formats/export/model_card.h"
#include "shared/quantise/calibration.h"
#include "student_train/student/student.h"

enum { PICTURES = 4, CLASSES = 7 };

struct quantised {
    struct student student;
    struct lowered lowered;
    struct int8_net net;
    struct pixel_set pictures; /* RGB */
    struct model_card card;
    float table[3][256];
    float *logits;       /* [PICTURES, CLASSES] of the graph before it was lowered */
    int8_t *int8_logits; /* of int8_run */
};

extern const char without_form[]; /* the preset that has no integer form: its layer norms */

/* A preset's name or a .net file. STATUS_CONFIG: it has no integer form. Released in every case. */
enum status quantised_init(struct quantised *q, const char *student, struct error *err);
void quantised_release(struct quantised *q);
float quantised_logit(const struct quantised *q, size_t i); /* int8_logits[i] as a number */

/* What the card makes of a photo of noise: pixels[card.size, card.size, 3]; the photo's own go into *photo. */
void quantised_pixels(const struct quantised *q, int h, int w, uint8_t *photo, uint8_t *pixels);
/* Calls check for photos of several shapes in every mode of resizing; the card says which. */
void for_every_resize(void (*check)(struct quantised *q, int h, int w));

/* ---- the folder ---- */
extern char *work_folder;
int work_folder_setup(void **state); /* of a group of tests */
int work_folder_teardown(void **state);
void put_file(const char *name, const void *bytes, size_t size);
size_t read_back(const char *name, void *bytes, size_t size); /* what was read */
/* A command there; its exit status. */
__attribute__((format(printf, 1, 2))) int in_folder(const char *format, ...);

#endif
