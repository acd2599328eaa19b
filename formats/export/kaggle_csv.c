#include "formats/export/kaggle_csv.h"

#include "shared/base/files.h"
#include "shared/base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_SIZE = 40 }; /* 20 digits of id, comma, sign and 10 digits, line end, and spare bytes */

enum status kaggle_publish(const char *path, const int32_t *predictions, size_t count, struct error *err)
{
    static const char header[] = "Id,Category\n";
    size_t rows = size_mul(count, ROW_SIZE), capacity = sizeof header + rows;
    char *text = rows < SIZE_MAX - sizeof header ? malloc(capacity) : NULL;
    if (!text)
        return error_no_memory(err, capacity, "predictions");
    size_t used = (size_t)snprintf(text, capacity, "%s", header);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%04zu,%" PRId32 "\n", i, predictions[i]);
    enum status status = file_publish(path, text, used, err);
    free(text);
    return status;
}
