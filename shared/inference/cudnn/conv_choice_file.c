/* Choices on disk. Each has a file named after the digest of its key: the convolution, the GPU as cuDNN describes it,
 * cuDNN's version. A file holds the key, a line "fused 0" or "fused 1", and cuDNN's text of the plan. */
#include "shared/inference/cudnn/conv_choice.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_CAPACITY = 4096, PATH_CAPACITY = 4096, FILE_LIMIT = 64 << 20 };

static enum status make_key(const struct conv_chooser *chooser, const struct conv_problem *problem,
                            char key[KEY_CAPACITY], struct error *err)
{
    const struct teacher_window *w = &problem->window;
    struct descriptor_set set = {0};
    char *gpu = descriptor_text(&set, chooser->device->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
    enum status status = descriptor_check(&set, "the GPU's properties", err);
    descriptor_set_release(&set);
    if (status != STATUS_OK)
        return status;
    int length = snprintf(
        key, KEY_CAPACITY,
        "softcache plan 2, cudnn %zu, precision %s, batch %d, groups %d, in %dx%dx%d, out %dx%dx%d, kernel %dx%d, "
        "stride %dx%d, dilation %dx%d, pad %d %d %d %d, bias %d, addend %d, activation %d %a %a, tuned %d, gpu %s\n",
        cudnnGetVersion(), precision_name(problem->precision), problem->batch, problem->groups, problem->in.c,
        problem->in.h, problem->in.w, problem->out.c, problem->out.h, problem->out.w, w->kernel_h, w->kernel_w,
        w->stride_h, w->stride_w, w->dilation_h, w->dilation_w, w->pad_top, w->pad_left, w->pad_bottom, w->pad_right,
        problem->has_bias, problem->has_addend, (int)problem->activation, (double)problem->alpha, (double)problem->beta,
        (int)chooser->tune, gpu);
    free(gpu);
    if (length < 0 || length >= KEY_CAPACITY)
        return error_set(err, STATUS_INTERNAL, NULL, "cuDNN describes this GPU in more than %d bytes", KEY_CAPACITY);
    return STATUS_OK;
}

static enum status make_path(const struct conv_chooser *chooser, const char *key, char path[PATH_CAPACITY],
                             struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(key, strlen(key), hex);
    if (snprintf(path, PATH_CAPACITY, "%s/%.32s.plan", chooser->folder, hex) >= PATH_CAPACITY)
        return error_set(err, STATUS_USAGE, chooser->folder, "the path is too long: use another folder for plans");
    return STATUS_OK;
}

enum status conv_choice_read(const struct conv_chooser *chooser, struct conv_choice *choice, struct error *err)
{
    enum status status = STATUS_OK;
    char key[KEY_CAPACITY], path[PATH_CAPACITY];
    unsigned char *bytes = NULL;
    size_t size;
    struct error unread = {0};
    TRY(make_key(chooser, &choice->problem, key, err));
    TRY(make_path(chooser, key, path, err));
    /* A file that cannot be used counts as missing and is written again. */
    if (!file_exists(path) || file_read(path, FILE_LIMIT, &bytes, &size, &unread) != STATUS_OK)
        goto cleanup;
    const char *text = (const char *)bytes, *fused = text + strlen(key);
    if (strncmp(text, key, strlen(key)) == 0 &&
        (strncmp(fused, "fused 0\n", 8) == 0 || strncmp(fused, "fused 1\n", 8) == 0)) {
        choice->fused = fused[6] == '1';
        choice->plan = conv_plan_of_text(chooser->device, fused + 8);
    }
cleanup:
    free(bytes);
    return status;
}

enum status conv_choice_write(const struct conv_chooser *chooser, const struct conv_choice *choice, struct error *err)
{
    enum status status = STATUS_OK;
    char key[KEY_CAPACITY], path[PATH_CAPACITY], *content = NULL, *plan = conv_plan_text(choice->plan);
    if (!plan)
        return STATUS_OK; /* an engine without a text form is chosen again on every run */
    TRY(make_key(chooser, &choice->problem, key, err));
    TRY(make_path(chooser, key, path, err));
    size_t capacity = strlen(key) + strlen(plan) + 16;
    content = malloc(capacity);
    if (!content) {
        status = error_no_memory(err, capacity, "a plan");
        goto cleanup;
    }
    int length = snprintf(content, capacity, "%sfused %d\n%s", key, (int)choice->fused, plan);
    TRY(file_publish(path, content, (size_t)length, err));
cleanup:
    free(content);
    free(plan);
    return status;
}
