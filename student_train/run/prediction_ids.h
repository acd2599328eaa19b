/* The Ids of predictions, from the names of the photos. Two photos never get the same Id. */
#ifndef STUDENT_TRAIN_RUN_PREDICTION_IDS_H
#define STUDENT_TRAIN_RUN_PREDICTION_IDS_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stddef.h>

enum { ID_MAX_WIDTH = 32 };

enum id_kind {
    ID_STEM,     /* "test/0042.jpg": "0042" */
    ID_NAME,     /* the whole name, with the folders below the one that was given: "test/0042.jpg" */
    ID_NUMBER,   /* the last number in the stem, without leading zeros: "img_0042" gives 42 */
    ID_POSITION, /* the place in natural order, counted from `first` */
    ID_AUTO      /* the stem, or the whole name if two photos share a stem */
};

struct id_rule {
    int kind;  /* enum id_kind; ID_AUTO becomes what was chosen */
    int first; /* of ID_POSITION */
    int width; /* of numbers and positions: zeros in front up to so many digits, at most ID_MAX_WIDTH; 0: none */
};

/* (*ids)[count] for names[count], in their order; the arena owns them. STATUS_CONFIG names two photos that would get
 * the same Id, or the photo without a number. */
enum status prediction_ids(struct id_rule *rule, const char *const *names, size_t count, struct arena *arena,
                           const char *const **ids, struct error *err);

#endif
