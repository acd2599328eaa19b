#include "shared/base/ini.h"

#include "shared/base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INI_FILE_LIMIT = 1 << 20 };

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        text[--length] = 0;
    return text;
}

static char *unquote(char *value)
{
    size_t length = strlen(value);
    if (length < 2 || value[0] != '"' || value[length - 1] != '"')
        return value;
    value[length - 1] = 0;
    return value + 1;
}

/* Handles one line; a section header changes *section. */
static enum status parse_line(char *line, const char *place, const char **section, ini_handler handler, void *context,
                              struct error *err)
{
    line = trim(line);
    size_t length = strlen(line);
    if (length == 0 || line[0] == '#' || line[0] == ';')
        return STATUS_OK;
    if (line[0] == '[') {
        if (line[length - 1] != ']')
            return error_set(err, STATUS_CONFIG, place, "a section must be written as [name]");
        line[length - 1] = 0;
        *section = trim(line + 1);
        return STATUS_OK;
    }
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return error_set(err, STATUS_CONFIG, place, "expected 'key = value'");
    *equals = 0;
    return handler(context, place, *section, trim(line), unquote(trim(equals + 1)), err);
}

enum status ini_parse(char *text, const char *path, ini_handler handler, void *context, struct error *err)
{
    enum status status = STATUS_OK;
    const char *section = "";
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    for (int number = 1; text && status == STATUS_OK; number++) {
        char place[512];
        snprintf(place, sizeof place, "%.480s:%d", path, number);
        char *line = text;
        text = strchr(text, '\n');
        if (text)
            *text++ = 0;
        status = parse_line(line, place, &section, handler, context, err);
    }
    return status;
}

enum status ini_read(const char *path, ini_handler handler, void *context, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *bytes = NULL;
    size_t size = 0;
    TRY(file_read(path, INI_FILE_LIMIT, &bytes, &size, err));
    if (memchr(bytes, 0, size))
        FAIL(error_set(err, STATUS_CONFIG, path, "is not a text file"));
    TRY(ini_parse((char *)bytes, path, handler, context, err));
cleanup:
    free(bytes);
    return status;
}
