#include "shared/backend/cpu/cpu_backend.h"

enum status cpu_images_new(struct device *device, uint32_t count, int channels, struct device_images **out,
                           struct error *err)
{
    (void)device, (void)count, (void)channels, (void)out;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}

enum status cpu_images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                           struct error *err)
{
    (void)device, (void)images, (void)i, (void)base;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}

void cpu_images_free(struct device *device, struct device_images *images)
{
    (void)device, (void)images;
}

enum status cpu_render(struct device *device, const struct device_images *images, const struct view *views,
                       const uint32_t *indices, int count, int size, float table[3][256], float *out, struct error *err)
{
    (void)device, (void)images, (void)views, (void)indices, (void)count, (void)size, (void)table, (void)out;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}
