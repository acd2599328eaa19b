#include "shared/inference/onnxruntime/ort_limit.h"

#include <string.h>

void ort_limit_begin(struct ort_limit *limit, const struct onnxruntime_model *model)
{
    limit->bytes = model->memory ? model->memory : memory_available();
    limit->start = memory_used();
    memory_limit_begin(&limit->held, limit->bytes);
}

void ort_limit_share(struct ort_limit *limit, int runs)
{
    const size_t now = memory_used(), taken = now > limit->start ? now - limit->start : 0;
    const size_t left = limit->bytes > taken ? limit->bytes - taken : 0;
    memory_limit_end(&limit->held);
    memory_limit_begin(&limit->held, left / (size_t)runs);
}

/* Its allocators and the C++ library say it in different words: "Failed to allocate memory for requested buffer of size
 * 1", "bad allocation", "std::bad_alloc". */
static bool is_lack_of_memory(const char *message)
{
    return strstr(message, "alloc") != NULL;
}

enum status ort_limit_end(struct ort_limit *limit, enum status status, const struct error *inner, const char *path,
                          int runs, struct error *err)
{
    const bool held = limit->held.held;
    memory_limit_end(&limit->held);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (!held || !is_lack_of_memory(inner->message))
        return error_set(err, status, inner->path, "%s", inner->message);
    if (runs > 1)
        return error_set(err, STATUS_CONFIG, path,
                         "for %d runs at the same time onnxruntime needs more memory than the %.1f GB that there may "
                         "be: use fewer --threads, a smaller --size, or another --max-memory",
                         runs, 1e-9 * (double)limit->bytes);
    return error_set(
        err, STATUS_CONFIG, path,
        "onnxruntime needs more memory for it than the %.1f GB that there may be: use a smaller --size, or "
        "another --max-memory",
        1e-9 * (double)limit->bytes);
}
