#include "teacher_dump/feature_request.h"

#include <string.h>

static bool parse_form(const char *text, size_t length, enum feature_form *form)
{
    for (int i = 0; i < FEATURE_FORM_COUNT; i++) {
        const char *name = feature_form_name((enum feature_form)i);
        if (strlen(name) == length && memcmp(text, name, length) == 0) {
            *form = (enum feature_form)i;
            return true;
        }
    }
    return false;
}

static enum status parse_views(const char *number, size_t length, const char *text, int most, int *views,
                               struct error *err)
{
    int value = 0;
    size_t digits = 0;
    while (digits < length && number[digits] >= '0' && number[digits] <= '9' && value <= most)
        value = 10 * value + (number[digits++] - '0');
    if (value > most)
        return error_set(err, STATUS_USAGE, NULL, "--feature %s: views=%.*s is more than --views %d", text, (int)length,
                         number, most);
    if (digits < length || value < 1)
        return error_set(err, STATUS_USAGE, NULL, "--feature %s: views=%.*s must be a number from 1 to --views %d",
                         text, (int)length, number, most);
    *views = value;
    return STATUS_OK;
}

/* The word after the last colon of text[0, end), or NULL. */
static const char *last_word(const char *text, size_t end)
{
    while (end > 0 && text[end - 1] != ':')
        end--;
    return end > 0 ? text + end : NULL;
}

enum status feature_request_parse(struct feature_request *request, const char *text, int most_views,
                                  struct arena *arena, struct error *err)
{
    static const char views_is[] = "views=";
    const size_t prefix = sizeof views_is - 1;
    bool has_form = false, has_views = false;
    enum status status = STATUS_OK;
    size_t end = strlen(text);
    request->form = FEATURE_FP16;
    for (const char *word; (word = last_word(text, end)); end = (size_t)(word - text) - 1) {
        const size_t length = end - (size_t)(word - text);
        if (!has_form && parse_form(word, length, &request->form)) {
            has_form = true;
        } else if (!has_views && length >= prefix && memcmp(word, views_is, prefix) == 0) {
            has_views = true;
            TRY(parse_views(word + prefix, length - prefix, text, most_views, &request->views, err));
        } else {
            break;
        }
    }
    if (end == 0)
        FAIL(error_set(err, STATUS_USAGE, NULL, "--feature %s: the name of a tensor is missing", text));
    request->tensor = arena_printf(arena, "%.*s", (int)end, text);
    if (!request->tensor)
        status = error_no_memory(err, end, "a tensor's name");
cleanup:
    return status;
}
