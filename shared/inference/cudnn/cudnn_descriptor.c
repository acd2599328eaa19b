#include "shared/inference/cudnn/cudnn_descriptor.h"

#include <stdlib.h>
#include <string.h>

static void note(struct descriptor_set *set, cudnnStatus_t result)
{
    if (set->status != CUDNN_STATUS_SUCCESS || result == CUDNN_STATUS_SUCCESS)
        return;
    set->status = result;
    cudnnGetLastErrorString(set->reason, sizeof set->reason);
}

void descriptor_set_release(struct descriptor_set *set)
{
    while (set->count > 0)
        cudnnBackendDestroyDescriptor(set->items[--set->count]);
    *set = (struct descriptor_set){0};
}

descriptor descriptor_new(struct descriptor_set *set, cudnnBackendDescriptorType_t type)
{
    descriptor item = NULL;
    if (set->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    if (set->count == DESCRIPTOR_SET_CAPACITY) {
        note(set, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
        return NULL;
    }
    note(set, cudnnBackendCreateDescriptor(type, &item));
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->items[set->count++] = item;
    return item;
}

descriptor descriptor_take(struct descriptor_set *set, descriptor item)
{
    for (int i = 0; i < set->count; i++)
        if (set->items[i] == item) {
            set->items[i] = set->items[--set->count];
            return item;
        }
    return NULL;
}

void descriptor_put(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendSetAttribute(item, name, type, count, values));
}

void descriptor_put_int(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, int64_t value)
{
    descriptor_put(set, item, name, CUDNN_TYPE_INT64, 1, &value);
}

void descriptor_put_bool(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, bool value)
{
    descriptor_put(set, item, name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

void descriptor_put_double(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, double value)
{
    descriptor_put(set, item, name, CUDNN_TYPE_DOUBLE, 1, &value);
}

void descriptor_put_type(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                         cudnnDataType_t value)
{
    descriptor_put(set, item, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

void descriptor_put_descriptor(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                               descriptor value)
{
    descriptor_put(set, item, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void descriptor_put_text(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name,
                         const char *text)
{
    descriptor_put(set, item, name, CUDNN_TYPE_CHAR, (int64_t)strlen(text) + 1, text);
}

char *descriptor_text(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name)
{
    int64_t length = 0;
    char *text = NULL;
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendGetAttribute(item, name, CUDNN_TYPE_CHAR, 0, &length, NULL));
    if (set->status != CUDNN_STATUS_SUCCESS || length < 1)
        return NULL;
    text = calloc((size_t)length + 1, 1);
    if (!text)
        note(set, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
    else
        note(set, cudnnBackendGetAttribute(item, name, CUDNN_TYPE_CHAR, length, &length, text));
    if (set->status == CUDNN_STATUS_SUCCESS)
        return text;
    free(text);
    return NULL;
}

int64_t descriptor_int(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name)
{
    int64_t value = 0, count = 0;
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendGetAttribute(item, name, CUDNN_TYPE_INT64, 1, &count, &value));
    return value;
}

int64_t descriptor_list(struct descriptor_set *set, descriptor item, cudnnBackendAttributeName_t name, int64_t capacity,
                        descriptor *list)
{
    int64_t count = 0;
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendGetAttribute(item, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, capacity, &count, list));
    if (set->status != CUDNN_STATUS_SUCCESS)
        return 0;
    return count < capacity ? count : capacity;
}

void descriptor_finish(struct descriptor_set *set, descriptor item)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendFinalize(item));
}

enum status descriptor_check(const struct descriptor_set *set, const char *what, struct error *err)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "%s: cuDNN failed: %s %s", what, cudnnGetErrorString(set->status),
                     set->reason);
}

enum status cudnn_check(cudnnStatus_t result, const char *what, struct error *err)
{
    struct descriptor_set failed = {0};
    note(&failed, result);
    return descriptor_check(&failed, what, err);
}
