#define _POSIX_C_SOURCE 200809L
#include "student_train/run/overview_file.h"

#include "shared/base/files.h"
#include <math.h>
#include <stdlib.h>

enum status overview_publish(const char *folder, const char *name, overview_writer *write, const void *source,
                             struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL, *path = path_join(folder, name);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out || !path)
        FAIL(error_no_memory(err, 0, name));
    write(source, out);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        status = error_no_memory(err, size, name);
    else
        status = file_publish(path, text, size, err);
    out = NULL;
cleanup:
    if (out)
        fclose(out);
    free(text);
    free(path);
    return status;
}

void overview_csv_number(FILE *out, double number)
{
    if (isfinite(number))
        fprintf(out, ",%.9g", number);
    else
        fputc(',', out);
}
