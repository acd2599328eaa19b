/* Where the images of a data set come from while it is loaded: from a file of an earlier run, or decoded, and then kept
 * in that file for the next one (compute->keep_folder). For dataset.c. */
#ifndef STUDENT_TRAIN_TRAINER_DATASET_IMAGES_H
#define STUDENT_TRAIN_TRAINER_DATASET_IMAGES_H

#include "formats/cache/kept_images.h"
#include "student_train/trainer/dataset.h"
#include <pthread.h>
#include <stdatomic.h>

struct image_supply {
    struct kept_key key;
    struct kept_images *kept;   /* NULL: images are decoded */
    struct kept_writer *writer; /* NULL: what is decoded is not kept */
    atomic_bool refused;        /* what is kept is not what the cache says: load again, decoding */
    struct error writing;       /* of the writer; its first one */
    pthread_mutex_t mutex;      /* of writing */
};

/* Decides whether to decode, and notes it if there is a file that cannot be used. STATUS_USAGE, STATUS_CANT_CREATE: the
 * folder cannot be used either. Close it also after an error. */
enum status image_supply_open(struct image_supply *supply, const struct dataset *dataset, struct progress *progress,
                              struct error *err);
/* Turns to decoding after load has failed with `why` and supply->refused is set. */
enum status image_supply_restart(struct image_supply *supply, const struct dataset *dataset, const struct error *why,
                                 struct progress *progress, struct error *err);
/* Puts the images of a shard, read with CACHE_READ_IMAGES, on the device, on all threads. STATUS_INTERRUPTED. */
enum status image_supply_load(struct image_supply *supply, struct dataset *dataset, const struct cache_shard *shard,
                              struct error *err);
/* whole: everything was loaded, so what was decoded becomes a file. That it cannot is only noted. */
void image_supply_close(struct image_supply *supply, bool whole, struct progress *progress);

/* An error of the file of the images (dataset->file) says how to do without it. */
enum status pass_file_error(struct error *err, const struct error *cause);

#endif
