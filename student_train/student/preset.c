#include "student_train/student/preset.h"

#include "shared/base/suggest.h"
#include <stdio.h>
#include <string.h>

enum { MAX_PRESETS = 64 };

static const struct preset *lookup(const char *name)
{
    for (int i = 0; i < preset_count; i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

enum status preset_find(const char *name, int size, const struct preset **preset, struct error *err)
{
    const char *names[MAX_PRESETS], *near;
    static const char *const suffixes[] = {"-small", "-32", ""};
    char variant[256], list[1024] = "";
    int count = 0;
    *preset = NULL;
    for (size_t i = size <= PRESET_SMALL_SIZE ? 0 : 2; i < 3 && !*preset; i++) {
        snprintf(variant, sizeof variant, "%s%s", name, suffixes[i]);
        *preset = lookup(variant);
    }
    if (*preset)
        return STATUS_OK;
    for (; count < preset_count && count < MAX_PRESETS; count++) {
        names[count] = presets[count].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", count ? ", " : "", names[count]);
    }
    near = suggest(name, names, count);
    return error_set(err, STATUS_USAGE, NULL, "unknown student '%s'%s%s%s; give a preset (%s), FILE.net or FILE.onnx",
                     name, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", list);
}
