#include "shared/backend/feed.h"

#include <stdlib.h>

enum status feed_content_init(struct feed_content *content, size_t room, int batch, int students, int classes,
                              bool teacher, struct error *err)
{
    const size_t steps = (room + (size_t)batch - 1) / (size_t)batch, positions = steps * (size_t)batch;
    *content = (struct feed_content){
        .batch = batch,
        .students = students,
        .classes = classes,
        .room = positions,
        .views = calloc(positions, sizeof *content->views),
        .samples = calloc(positions, sizeof *content->samples),
        .labels = calloc(positions, sizeof *content->labels),
        .teacher = teacher ? calloc(size_mul(positions, (size_t)classes), sizeof *content->teacher) : NULL,
        .scalars = calloc(size_mul(steps, (size_t)students), sizeof *content->scalars),
    };
    if (content->views && content->samples && content->labels && (content->teacher || !teacher) && content->scalars)
        return STATUS_OK;
    feed_content_release(content);
    return error_no_memory(err, size_mul(positions, sizeof *content->views), "a pass over the data");
}

void feed_content_release(struct feed_content *content)
{
    free(content->views);
    free(content->samples);
    free(content->labels);
    free(content->teacher);
    free(content->scalars);
    *content = (struct feed_content){0};
}

enum status feed_init(struct feed *feed, const struct backend *backend, struct device *device,
                      const struct feed_content *content, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t room = content->room, steps = room / (size_t)content->batch;
    const char *const what = "a pass over the data";
    *feed = (struct feed){
        .batch = content->batch, .students = content->students, .classes = content->classes, .room = room};
    const struct {
        void **out;
        size_t bytes;
    } arrays[] = {
        {(void **)&feed->cursor, sizeof *feed->cursor},
        {(void **)&feed->views, size_mul(room, sizeof *feed->views)},
        {(void **)&feed->samples, size_mul(room, sizeof *feed->samples)},
        {(void **)&feed->labels, size_mul(room, sizeof *feed->labels)},
        {(void **)&feed->scalars, size_mul(steps * (size_t)feed->students, sizeof *feed->scalars)},
        {(void **)&feed->predictions, size_mul(room * (size_t)feed->students, sizeof *feed->predictions)},
        {(void **)&feed->teacher,
         content->teacher ? size_mul(size_mul(room, (size_t)feed->classes), sizeof *feed->teacher) : 0},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].bytes)
            TRY(backend->buffer_new(device, arrays[i].bytes, what, arrays[i].out, err));
    TRY(feed_rewind(feed, backend, device, err));
cleanup:
    if (status != STATUS_OK)
        feed_release(feed, backend, device);
    return status;
}

void feed_release(struct feed *feed, const struct backend *backend, struct device *device)
{
    void *const arrays[] = {feed->cursor,  feed->views,   feed->samples,    feed->labels,
                            feed->teacher, feed->scalars, feed->predictions};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i])
            backend->buffer_free(device, arrays[i]);
    *feed = (struct feed){0};
}

enum status feed_rewind(const struct feed *feed, const struct backend *backend, struct device *device,
                        struct error *err)
{
    return backend->zero(device, feed->cursor, sizeof *feed->cursor, err);
}

enum status feed_upload(const struct feed *feed, const struct backend *backend, struct device *device,
                        const struct feed_content *content, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t steps = (count + (size_t)feed->batch - 1) / (size_t)feed->batch;
    TRY(backend->upload(device, feed->views, content->views, count * sizeof *feed->views, err));
    TRY(backend->upload(device, feed->samples, content->samples, count * sizeof *feed->samples, err));
    TRY(backend->upload(device, feed->labels, content->labels, count * sizeof *feed->labels, err));
    TRY(backend->upload(device, feed->scalars, content->scalars, steps * (size_t)feed->students * sizeof *feed->scalars,
                        err));
    if (feed->teacher)
        TRY(backend->upload(device, feed->teacher, content->teacher,
                            count * (size_t)feed->classes * sizeof *feed->teacher, err));
    TRY(feed_rewind(feed, backend, device, err));
cleanup:
    return status;
}
