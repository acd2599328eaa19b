#include "teacher_dump/output_choice.h"

#include "formats/cache/cache.h"
#include "shared/base/files.h"
#include <stdlib.h>
#include <string.h>

enum { CHOICE_FILE_LIMIT = 16 << 20 };
static const char separators[] = ", \t\r\n";

static bool is_list(const char *text)
{
    return *text && strspn(text, "0123456789, ") == strlen(text);
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static enum status refuse_twice(const int *selected, int classes, const char *place, struct error *err)
{
    enum status status = STATUS_OK;
    int *sorted = malloc((size_t)classes * sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, (size_t)classes * sizeof *sorted, "numbers");
    memcpy(sorted, selected, (size_t)classes * sizeof *sorted);
    qsort(sorted, (size_t)classes, sizeof *sorted, compare_ints);
    for (int i = 1; i < classes && status == STATUS_OK; i++)
        if (sorted[i] == sorted[i - 1])
            status = error_set(err, STATUS_CONFIG, place, "--logits has %d twice: each class needs its own", sorted[i]);
    free(sorted);
    return status;
}

/* place: the file, or NULL. */
static enum status parse_numbers(const char *text, int classes, const char *place, int *selected, struct error *err)
{
    int count = 0;
    for (const char *at = text + strspn(text, separators); *at; at += strspn(at, separators)) {
        char *end;
        const long value = strtol(at, &end, 10);
        if (end == at || value < 0 || value >= CACHE_MAX_OUTPUTS || (*end && !strchr(separators, *end)))
            return error_set(err, STATUS_USAGE, place,
                             "--logits: '%.30s' is no number of an output; they count from 0, as in 0,217,482", at);
        if (count < classes)
            selected[count] = (int)value;
        count++;
        at = end;
    }
    if (count != classes)
        return error_set(err, STATUS_CONFIG, place,
                         "--logits has %d numbers, but the data set has %d classes: give one for each, in their order",
                         count, classes);
    return refuse_twice(selected, classes, place, err);
}

enum status output_choice_parse(const char *text, int classes, struct arena *arena, const int **selected,
                                struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *content = NULL;
    size_t size;
    const bool list = is_list(text);
    int *numbers = arena_alloc(arena, (size_t)classes, sizeof *numbers);
    if (!numbers)
        return error_no_memory(err, (size_t)classes * sizeof *numbers, "numbers");
    if (!list)
        TRY(file_read(text, CHOICE_FILE_LIMIT, &content, &size, err));
    TRY(parse_numbers(list ? text : (const char *)content, classes, list ? NULL : text, numbers, err));
    *selected = numbers;
cleanup:
    free(content);
    return status;
}
