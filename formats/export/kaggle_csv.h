/* The prediction file of ML2023 HW13 on Kaggle: header "Id,Category", then ids 0000, 0001, ... in the order of the
 * sorted names. */
#ifndef FORMATS_EXPORT_KAGGLE_CSV_H
#define FORMATS_EXPORT_KAGGLE_CSV_H

#include "shared/base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Publishes predictions[count] (class indices) as file `path`. STATUS_CANT_CREATE, STATUS_IO. */
enum status kaggle_publish(const char *path, const int32_t *predictions, size_t count, struct error *err);

#endif
