/* Base images of the training split for views that are mixed with another sample's: any view may need any of them. An
 * image is decoded when it is first needed, and is kept if it fits into a memory budget; otherwise it is decoded again
 * for every batch that needs it. Results do not depend on the budget. */
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
void partner_images_free(struct partner_images *images); /* NULL is allowed */

/* Sets partner_image of the requests[count] that are mixed, and decodes on the pool; valid until the next call.
 * STATUS_BAD_DATA: a file has changed since it was checked. */
enum status partner_images_find(struct partner_images *images, struct thread_pool *pool, struct view_request *requests,
                                int count, struct error *err);

#endif
