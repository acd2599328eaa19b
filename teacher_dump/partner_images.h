/* Base images of the training split for views that are mixed with another sample's: any view may ask for any of them.
 * They are decoded when they are first asked for and stay while they fit into a budget of memory; of those that do not
 * fit each is decoded for every batch that asks for it. Results do not depend on the budget. */
#ifndef TEACHER_DUMP_PARTNER_IMAGES_H
#define TEACHER_DUMP_PARTNER_IMAGES_H

#include "shared/base/threads.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/view_batch.h"

struct partner_images;

/* job: after dump_job_scan, borrowed until partner_images_free. budget: bytes of pixels to keep; 0: a quarter of the
 * machine's memory. */
enum status partner_images_new(struct partner_images **out, const struct dump_job *job, uint64_t budget,
                               struct error *err);
void partner_images_free(struct partner_images *images); /* NULL is legal */

/* Sets requests[count].partner_image of those that are mixed, decoding on the pool; valid until the next call.
 * STATUS_BAD_DATA: a file has changed since it was checked. */
enum status partner_images_find(struct partner_images *images, struct thread_pool *pool, struct view_request *requests,
                                int count, struct error *err);

#endif
