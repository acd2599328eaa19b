/* The photos below a folder, and how one becomes what a student sees. */
#ifndef STUDENT_TRAIN_RUN_PHOTOS_H
#define STUDENT_TRAIN_RUN_PHOTOS_H

#include "formats/export/model_card.h"
#include "shared/base/memory.h"
#include "shared/tensor/image.h"

struct photos {
    struct arena arena;
    const char *folder; /* borrowed */
    const char **names; /* [count] below the folder, in natural order */
    size_t count, capacity;
    size_t others;  /* files that are no photos */
    char other[64]; /* the name of one of them */
};

/* Lists the photos of a folder and its subfolders: every file whose name or content is that of an image, whether or not
 * it can be decoded. STATUS_NO_INPUT if there are none. */
enum status photos_list(struct photos *photos, const char *folder, struct error *err);
void photos_release(struct photos *photos); /* accepts a zeroed struct */

/* What becomes of a photo that cannot be decoded. */
enum broken_photo {
    BROKEN_SALVAGE,  /* what it holds is used; if that is nothing, as BROKEN_MAJORITY */
    BROKEN_MAJORITY, /* the student does not see it: it gets the class that most others get */
    BROKEN_FAIL      /* an error */
};

/* *seen (the caller's) = what a student sees of a photo, card->size x card->size. *damage (zeroed by the caller): set
 * if only a part of the photo could be decoded, and why. Errors: nothing can be seen. */
enum status photo_seen(const struct photos *photos, size_t index, const struct model_card *card, bool salvage,
                       struct image *seen, struct error *damage, struct error *err);

#endif
