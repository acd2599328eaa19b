#include "shared/training/epoch_inputs.h"

#include <stdlib.h>
#include <string.h>

/* An array that is both in the content and in the epoch inputs. */
struct inputs_array {
    size_t content, inputs; /* offsets of the pointers */
    size_t item;            /* bytes per slot; 0: there is no such array */
};
#define ARRAY(name, bytes)                                                               \
    {                                                                                    \
        offsetof(struct epoch_content, name), offsetof(struct epoch_inputs, name), bytes \
    }
enum { ARRAYS = 9 };

static void list_arrays(struct inputs_array arrays[ARRAYS], size_t classes, bool teacher, bool mixes)
{
    const struct inputs_array all[ARRAYS] = {
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

static void **content_array(const struct epoch_content *content, const struct inputs_array *array)
{
    return (void **)((char *)(uintptr_t)content + array->content);
}

static void **device_array(const struct epoch_inputs *inputs, const struct inputs_array *array)
{
    return (void **)((char *)(uintptr_t)inputs + array->inputs);
}

enum status epoch_content_init(struct epoch_content *content, size_t capacity, int batch, int students, int classes,
                               unsigned parts, struct error *err)
{
    const size_t steps = (capacity + (size_t)batch - 1) / (size_t)batch, slots = steps * (size_t)batch;
    struct inputs_array arrays[ARRAYS];
    enum status status = STATUS_OK;
    *content = (struct epoch_content){.batch = batch, .students = students, .classes = classes, .capacity = slots};
    list_arrays(arrays, (size_t)classes, parts & EPOCH_TEACHER, parts & EPOCH_MIXES);
    for (int i = 0; i < ARRAYS; i++) {
        void **array = content_array(content, &arrays[i]);
        if (arrays[i].item && !(*array = calloc(slots, arrays[i].item)))
            FAIL(error_no_memory(err, size_mul(slots, arrays[i].item), "a pass over the data"));
    }
    content->scalars = calloc(size_mul(steps, (size_t)students), sizeof *content->scalars);
    if (!content->scalars)
        FAIL(error_no_memory(err, size_mul(steps, sizeof *content->scalars), "a pass over the data"));
cleanup:
    if (status != STATUS_OK)
        epoch_content_release(content);
    return status;
}

void epoch_content_release(struct epoch_content *content)
{
    struct inputs_array arrays[ARRAYS];
    list_arrays(arrays, 1, true, true);
    for (int i = 0; i < ARRAYS; i++)
        free(*content_array(content, &arrays[i]));
    free(content->scalars);
    *content = (struct epoch_content){0};
}

enum status epoch_inputs_init(struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                              const struct epoch_content *content, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t capacity = content->capacity, steps = capacity / (size_t)content->batch,
                 students = (size_t)content->students;
    const char *const what = "a pass over the data";
    struct inputs_array arrays[ARRAYS];
    *inputs = (struct epoch_inputs){
        .batch = content->batch, .students = content->students, .classes = content->classes, .capacity = capacity};
    list_arrays(arrays, (size_t)content->classes, content->teacher, content->mixes);
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i].item)
            TRY(ops->buffer_new(device, size_mul(capacity, arrays[i].item), what, device_array(inputs, &arrays[i]),
                                err));
    TRY(ops->buffer_new(device, sizeof *inputs->cursor, what, (void **)&inputs->cursor, err));
    TRY(ops->buffer_new(device, size_mul(steps * students, sizeof *inputs->scalars), what, (void **)&inputs->scalars,
                        err));
    TRY(ops->buffer_new(device, size_mul(capacity * students, sizeof *inputs->predictions), what,
                        (void **)&inputs->predictions, err));
    TRY(epoch_inputs_rewind(inputs, ops, device, err));
cleanup:
    if (status != STATUS_OK)
        epoch_inputs_release(inputs, ops, device);
    return status;
}

void epoch_inputs_release(struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device)
{
    void *const others[] = {inputs->cursor, inputs->scalars, inputs->predictions};
    struct inputs_array arrays[ARRAYS];
    list_arrays(arrays, 1, true, true);
    for (int i = 0; i < ARRAYS; i++)
        if (*device_array(inputs, &arrays[i]))
            ops->buffer_free(device, *device_array(inputs, &arrays[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i])
            ops->buffer_free(device, others[i]);
    *inputs = (struct epoch_inputs){0};
}

enum status epoch_inputs_rewind(const struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                                struct error *err)
{
    return ops->zero(device, inputs->cursor, sizeof *inputs->cursor, err);
}

enum status epoch_inputs_upload(const struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                                const struct epoch_content *content, size_t count, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t steps = (count + (size_t)inputs->batch - 1) / (size_t)inputs->batch;
    struct inputs_array arrays[ARRAYS];
    list_arrays(arrays, (size_t)inputs->classes, inputs->teacher, inputs->mixes);
    for (int i = 0; i < ARRAYS; i++)
        if (arrays[i].item)
            TRY(ops->upload(device, *device_array(inputs, &arrays[i]), *content_array(content, &arrays[i]),
                            count * arrays[i].item, err));
    TRY(ops->upload(device, inputs->scalars, content->scalars,
                    steps * (size_t)inputs->students * sizeof *inputs->scalars, err));
    TRY(epoch_inputs_rewind(inputs, ops, device, err));
cleanup:
    return status;
}
