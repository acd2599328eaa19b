#include "shared/augment/view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Appends, and cuts what does not fit. */
__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

void view_describe(const struct view *view, char *text, size_t size)
{
    static const char *const samplings[] = {[VIEW_BILINEAR] = "", [VIEW_EXACT] = " exact", [VIEW_FINE] = " fine"};
    static const char *const names[VIEW_MAX_COLORS] = {"brightness", "contrast", "saturation", "hue"};
    if (size == 0)
        return;
    text[0] = 0;
    append(text, size, "x: %.4f %.4f %.4f  y: %.4f %.4f %.4f  level %d%s", (double)view->m[0] / 65536,
           (double)view->m[1] / 65536, (double)view->m[2] / 65536, (double)view->m[3] / 65536,
           (double)view->m[4] / 65536, (double)view->m[5] / 65536, view->level, samplings[view->sampling]);
    for (int i = 0; i < view->color_count; i++) {
        const int32_t *weight = view->color[i].weight;
        append(text, size, "  %s %.4f", names[view->color[i].kind], (double)weight[0] / 65536);
        if (view->color[i].kind == VIEW_HUE)
            append(text, size, " %.4f %.4f", (double)weight[1] / 65536, (double)weight[2] / 65536);
    }
    for (int i = 0; i < view->erase_count; i++)
        append(text, size, "  erase %dx%d at (%d, %d) with %d", view->erase[i].w, view->erase[i].h, view->erase[i].x,
               view->erase[i].y, view->erase[i].value);
}
