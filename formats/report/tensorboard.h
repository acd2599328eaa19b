/* TensorBoard event files: scalars, pictures, hyperparameters. A file is a sequence of TFRecords (length, masked
 * CRC-32C of the length, data, masked CRC-32C of the data, little-endian), each holding an Event message
 * (tensorflow/core/util/event.proto): wall_time = 1, step = 2, file_version = 3, summary = 5 {value = 1 {tag = 1,
 * simple_value = 2, image = 4, tensor = 8, metadata = 9}}, session_log = 7 {status = 1}. */
#ifndef FORMATS_REPORT_TENSORBOARD_H
#define FORMATS_REPORT_TENSORBOARD_H

#include "shared/base/error.h"
#include "shared/tensor/image.h"
#include <stddef.h>
#include <stdint.h>

struct tensorboard_scalar {
    const char *tag; /* "loss/train" */
    float value;     /* NAN values are left out */
};

struct tensorboard_writer;

/* Creates a new events.out.tfevents.* file in the folder. first_step tells TensorBoard to discard what earlier files
 * of the folder say about this step and later ones (a resumed run). STATUS_CANT_CREATE, STATUS_IO. */
enum status tensorboard_open(struct tensorboard_writer **out, const char *folder, int64_t first_step,
                             struct error *err);
/* Appends the scalars[count] of one step. STATUS_IO. */
enum status tensorboard_write(struct tensorboard_writer *writer, int64_t step, const struct tensorboard_scalar *scalars,
                              int count, struct error *err);
/* Appends an event with a Summary message. STATUS_IO. */
enum status tensorboard_write_summary(struct tensorboard_writer *writer, int64_t step, const void *summary, size_t size,
                                      struct error *err);

struct tensorboard_hparam {
    const char *name, *text; /* text NULL: a number */
    double number;
};
/* What the hparams page compares runs by. start: seconds since 1970. STATUS_IO, STATUS_INTERNAL. */
enum status tensorboard_write_hparams(struct tensorboard_writer *writer, const struct tensorboard_hparam *hparams,
                                      int count, double start, struct error *err);
/* The run has ended well. end: seconds since 1970. */
enum status tensorboard_write_success(struct tensorboard_writer *writer, double end, struct error *err);
/* A picture of one step. */
enum status tensorboard_write_picture(struct tensorboard_writer *writer, int64_t step, const char *tag,
                                      const struct image *image, struct error *err);
void tensorboard_close(struct tensorboard_writer *writer); /* NULL is allowed */

/* The record of one step, framed, malloc'ed (caller frees); NULL when out of memory. Wall time in seconds since 1970.
 */
uint8_t *tensorboard_encode(double wall_time, int64_t step, const struct tensorboard_scalar *scalars, int count,
                            size_t *size);

/* CRC-32C (Castagnoli, polynomial 0x1EDC6F41), as in RFC 3720. */
uint32_t crc32c(const void *bytes, size_t size);

#endif
