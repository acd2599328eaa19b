#include "shared/training/epoch_inputs.h"

#include <stdlib.h>
#include <string.h>

/* The arrays of a feed: those of the content and of the device, and the bytes of one item. */
struct feed_array {
    size_t content, feed; /* offsets of the pointers */
    size_t item;          /* bytes of a position; 0: the array is not there */
};
#define ARRAY(name, bytes)                                                      \
    {                                                                           \
        offsetof(struct feed_content, name), offsetof(struct feed, name), bytes \
    }
enum { ARRAYS = 9 };

static void list_arrays(struct feed_array arrays[ARRAYS], size_t classes, bool teacher, bool mixes)
{
    const struct feed_array all[ARRAYS] = {
        ARRAY(views, sizeof(struct view)),
        ARRAY(samples, sizeof(uint32_t)),
        ARRAY(numbers, sizeof(uint32_t)),
        ARRAY(labels, sizeof(int32_t)),
        ARRAY(teacher, teacher ? size_mul(classes, sizeof(float)) : 0),
        ARRAY(mixes, mixes ? sizeof(struct view_mix) : 0),
        ARRAY(partner_views, mixes ? sizeof(struct view) : 0),
        ARRAY(partners, mixes ? sizeof(uint32_t) : 0),
        ARRAY(partner_labels, mixes ? sizeof(int32_t) : 0),
    };
    memcpy(arrays, all, sizeof all);
}

static void **content_array(const struct feed_content *content, const struct feed_array *array)
{
    return (void **)((char *)(uintptr_t)content + array->content);
}

static void **device_array(const struct feed *feed, const struct feed_array *array)
{
    return (void **)((char *)(uintptr_t)feed + array->feed);
}

enum status feed_content_init(struct feed_content *content, size_t room, int batch, int students, int classes,
                              unsigned parts, struct error *err)
{
    const size_t steps = (room + (size_t)batch - 1) / (size_t)batch, positions = steps * (size_t)batch;
    struct feed_array arrays[ARRAYS];
    enum status status = STATUS_OK;
    *content = (struct feed_content){.batch = batch, .students = students, .classes = classes, .room = positions};
    list_arrays(arrays, (size_t)classes, parts & FEED_TEACHER, parts & FEED_MIXES);
    for (int i = 0; i < ARRAYS; i++) {
        void **array = content_array(content, &arrays[i]);
        if (arrays[i].item && !(*array = calloc(positions, arrays[i].item)))
            TRY(error_no_memory(err, size_mul(positions, arrays[i].item), "a pass over the data"));
    }
    content->scalars = calloc(size_mul(steps, (size_t)students), sizeof *content->scalars);
    if (!content->scalars)
        TRY(error_no_memory(err, size_mul(steps, sizeof *content->scalars), "a pass over the data"));
cleanup:
    if (status != STATUS_OK)
        feed_content_release(content);
    return status;
}

void feed_content_release(struct feed_content *content)
{
    struct feed_array arrays[ARRAYS];
    list_arrays(arrays, 1, true, true);
    for (int i = 0; i < ARRAYS; i++)
        free(*content_array(content, &arrays[i]));
    free(content->scalars);
    *content = (struct feed_content){0};
}

enum status feed_init(struct feed *feed, const struct device_ops *ops, struct device *device,
                      const struct feed_content *content, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t room = content->room, steps = room / (size_t)content->batch, students = (size_t)content->students;
    const char *const what = "a pass over the data";
    struct feed_array arrays[ARRAYS];
    *feed = (struct feed){
        .batch = content->batch, .students = content->students, .classes = content->classes, .room = room};
    list_arrays(arrays, (size_t)content->classes, content->teacher, content->mixes);
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i].item)
            TRY(ops->buffer_new(device, size_mul(room, arrays[i].item), what, device_array(feed, &arrays[i]), err));
    TRY(ops->buffer_new(device, sizeof *feed->cursor, what, (void **)&feed->cursor, err));
    TRY(ops->buffer_new(device, size_mul(steps * students, sizeof *feed->scalars), what, (void **)&feed->scalars, err));
    TRY(ops->buffer_new(device, size_mul(room * students, sizeof *feed->predictions), what, (void **)&feed->predictions,
                        err));
    TRY(feed_rewind(feed, ops, device, err));
cleanup:
    if (status != STATUS_OK)
        feed_release(feed, ops, device);
    return status;
}

void feed_release(struct feed *feed, const struct device_ops *ops, struct device *device)
{
    void *const others[] = {feed->cursor, feed->scalars, feed->predictions};
    struct feed_array arrays[ARRAYS];
    list_arrays(arrays, 1, true, true);
    for (int i = 0; i < ARRAYS; i++)
        if (*device_array(feed, &arrays[i]))
            ops->buffer_free(device, *device_array(feed, &arrays[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i])
            ops->buffer_free(device, others[i]);
    *feed = (struct feed){0};
}

enum status feed_rewind(const struct feed *feed, const struct device_ops *ops, struct device *device, struct error *err)
{
    return ops->zero(device, feed->cursor, sizeof *feed->cursor, err);
}

enum status feed_upload(const struct feed *feed, const struct device_ops *ops, struct device *device,
                        const struct feed_content *content, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t steps = (count + (size_t)feed->batch - 1) / (size_t)feed->batch;
    struct feed_array arrays[ARRAYS];
    list_arrays(arrays, (size_t)feed->classes, feed->teacher, feed->mixes);
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i].item)
            TRY(ops->upload(device, *device_array(feed, &arrays[i]), *content_array(content, &arrays[i]),
                            count * arrays[i].item, err));
    TRY(ops->upload(device, feed->scalars, content->scalars, steps * (size_t)feed->students * sizeof *feed->scalars,
                    err));
    TRY(feed_rewind(feed, ops, device, err));
cleanup:
    return status;
}
