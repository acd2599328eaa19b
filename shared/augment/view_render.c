/* The CPU's renderer. A row of the view is a straight line through the level, so the pixels whose four taps all lie
 * inside the level are one run of x. The ends of the run are computed, and inside it nothing is checked. */
#include "shared/augment/view.h"

#include "shared/augment/view_color.h"
#include "shared/augment/view_rows.h"
#include <assert.h>
#include <string.h>

struct run {
    int begin, end; /* of x; empty if begin >= end */
};

static int64_t divide_up(int64_t a, int64_t b) /* b > 0 */
{
    return a / b + (a % b > 0);
}

static struct run intersect(struct run a, int64_t begin, int64_t end)
{
    if (begin > a.begin)
        a.begin = begin < a.end ? (int)begin : a.end;
    if (end < a.end)
        a.end = end > a.begin ? (int)end : a.begin;
    return a;
}

/* The part of run where low <= start + step * x < high. */
static struct run clip(struct run run, int64_t start, int64_t step, int64_t low, int64_t high)
{
    if (step == 0)
        return start >= low && start < high ? run : (struct run){run.begin, run.begin};
    if (step > 0)
        return intersect(run, divide_up(low - start, step), divide_up(high - start, step));
    return intersect(run, divide_up(start - high + 1, -step), divide_up(start - low + 1, -step));
}

static int clamp(int64_t value, int high)
{
    return value < 0 ? 0 : value > high ? high : (int)value;
}

/* One pixel with taps that may lie beyond the edge. */
static void sample_edge(const struct image *level, int64_t sx, int64_t sy, uint8_t *pixel)
{
    size_t channels = (size_t)level->channels, stride = (size_t)level->w * channels;
    int i = (int)(sx >> 16), j = (int)(sy >> 16);
    uint32_t fx = (uint32_t)(sx >> 8) & 255, fy = (uint32_t)(sy >> 8) & 255;
    size_t left = (size_t)clamp(i, level->w - 1) * channels, right = (size_t)clamp(i + 1, level->w - 1) * channels;
    const uint8_t *top = level->pixels + (size_t)clamp(j, level->h - 1) * stride;
    const uint8_t *bottom = level->pixels + (size_t)clamp(j + 1, level->h - 1) * stride;
    for (size_t c = 0; c < channels; c++) {
        uint32_t upper = (256 - fx) * top[left + c] + fx * top[right + c];
        uint32_t lower = (256 - fx) * bottom[left + c] + fx * bottom[right + c];
        pixel[c] = (uint8_t)(((256 - fy) * upper + fy * lower + 32768) >> 16);
    }
}

/* The taps of all these samples lie inside the level. */
static inline void render_run(const struct image *level, const int64_t *m, int64_t sx, int64_t sy, int count,
                              size_t channels, uint8_t *pixels)
{
    const size_t stride = (size_t)level->w * channels;
    uint32_t x = (uint32_t)sx, y = (uint32_t)sy, step_x = (uint32_t)m[0], step_y = (uint32_t)m[3];
    for (int i = 0; i < count; i++, x += step_x, y += step_y, pixels += channels) {
        const uint8_t *upper = level->pixels + (y >> 16) * stride + (x >> 16) * channels, *lower = upper + stride;
        const uint32_t fx = (x >> 8) & 255, fy = (y >> 8) & 255;
        for (size_t c = 0; c < channels; c++) {
            const uint32_t top = (256 - fx) * upper[c] + fx * upper[c + channels];
            const uint32_t bottom = (256 - fx) * lower[c] + fx * lower[c + channels];
            pixels[c] = (uint8_t)(((256 - fy) * top + fy * bottom + 32768) >> 16);
        }
    }
}

static void render_run_rgb(const struct image *level, const int64_t *m, int64_t sx, int64_t sy, int count,
                           uint8_t *pixels)
{
    const int64_t step[2] = {m[0], m[3]};
    if (m[3] == 0 && view_rows_upright(level, m[0], sx, sy, count, pixels))
        return;
    if (!view_rows_slanted(level, step, sx, sy, count, pixels))
        render_run(level, m, sx, sy, count, 3, pixels);
}

static void render_run_gray(const struct image *level, const int64_t *m, int64_t sx, int64_t sy, int count,
                            uint8_t *pixels)
{
    render_run(level, m, sx, sy, count, 1, pixels);
}

static void render_row(const struct view *view, const struct image *level, int y, int size, uint8_t *row)
{
    const int64_t *m = view->m;
    int64_t sx = m[1] * y + m[2], sy = m[4] * y + m[5], w = (int64_t)level->w * 65536, h = (int64_t)level->h * 65536;
    size_t channels = (size_t)level->channels;
    struct run inside = clip((struct run){0, size}, sx, m[0], -32768, w - 32768);
    inside = clip(inside, sy, m[3], -32768, h - 32768);
    struct run interior = clip(inside, sx, m[0], 0, w - 65536);
    interior = clip(interior, sy, m[3], 0, h - 65536);

    memset(row, 0, (size_t)inside.begin * channels);
    for (int x = inside.begin; x < interior.begin; x++)
        sample_edge(level, sx + m[0] * x, sy + m[3] * x, row + (size_t)x * channels);
    if (interior.begin < interior.end)
        (channels == 3 ? render_run_rgb : render_run_gray)(level, m, sx + m[0] * interior.begin,
                                                           sy + m[3] * interior.begin, interior.end - interior.begin,
                                                           row + (size_t)interior.begin * channels);
    for (int x = interior.end; x < inside.end; x++)
        sample_edge(level, sx + m[0] * x, sy + m[3] * x, row + (size_t)x * channels);
    memset(row + (size_t)inside.end * channels, 0, (size_t)(size - inside.end) * channels);
}

/* A row of a view with a grid twice as fine: two rows of that grid, and the mean of each 2 x 2 samples. */
static void fine_row(const struct view *view, const struct image *level, int y, int size, uint8_t *row)
{
    uint8_t rows[2][2 * VIEW_MAX_SIZE * 3];
    const size_t channels = (size_t)level->channels;
    for (int k = 0; k < 2; k++)
        render_row(view, level, 2 * y + k, 2 * size, rows[k]);
    if (channels == 3 && view_rows_halve(rows[0], rows[1], (size_t)size, row))
        return;
    for (size_t x = 0; x < (size_t)size; x++)
        for (size_t c = 0; c < channels; c++) {
            const size_t left = 2 * x * channels + c, right = left + channels;
            row[x * channels + c] =
                (uint8_t)((rows[0][left] + rows[0][right] + rows[1][left] + rows[1][right] + 2) >> 2);
        }
}

/* A whole-pixel shift: the part of the row that the level has is copied. */
static void copy_row(const struct view *view, const struct image *level, int y, int size, uint8_t *row)
{
    int64_t dx = view->m[2] >> 16, source_y = y + (view->m[5] >> 16);
    size_t channels = (size_t)level->channels;
    struct run run = {0, source_y >= 0 && source_y < level->h ? size : 0};
    run = intersect(run, -dx, level->w - dx);
    memset(row, 0, (size_t)run.begin * channels);
    if (run.begin < run.end)
        memcpy(row + (size_t)run.begin * channels,
               level->pixels + ((size_t)source_y * (size_t)level->w + (size_t)(run.begin + dx)) * channels,
               (size_t)(run.end - run.begin) * channels);
    memset(row + (size_t)run.end * channels, 0, (size_t)(size - run.end) * channels);
}

/* Loads the level's rows that the view samples, one after the other: along slanted lines, no processor foresees what is
 * read next, and the samples would wait for memory. (Prefetch instructions instead gained little.) */
static void load_rows(const struct view *view, const struct image *level, int side)
{
    const int64_t *m = view->m, end = side - 1;
    const int64_t along = m[3] * end, down = m[4] * end, first = m[5] + (along < 0 ? along : 0) + (down < 0 ? down : 0);
    const int64_t last = m[5] + (along > 0 ? along : 0) + (down > 0 ? down : 0);
    const size_t stride = (size_t)level->w * (size_t)level->channels;
    const uint8_t *begin = level->pixels + (size_t)clamp(first >> 16, level->h - 1) * stride;
    const uint8_t *beyond = level->pixels + (size_t)(clamp((last >> 16) + 1, level->h - 1) + 1) * stride;
    for (const uint8_t *line = begin; line < beyond; line += 64)
        (void)*(const volatile uint8_t *)line;
}

void view_render(const struct view *view, const struct image *levels, int level_count, int size, uint8_t *pixels)
{
    assert(view->level >= 0 && view->level < level_count);
    const struct image *level = &levels[view->level];
    size_t row_bytes = (size_t)size * (size_t)level->channels;
    void (*const row)(const struct view *, const struct image *, int, int, uint8_t *) =
        view->sampling == VIEW_EXACT  ? copy_row
        : view->sampling == VIEW_FINE ? fine_row
                                      : render_row;
    load_rows(view, level, view->sampling == VIEW_FINE ? 2 * size : size);
    for (int y = 0; y < size; y++)
        row(view, level, y, size, pixels + (size_t)y * row_bytes);
    view_apply_colors(view, size, level->channels, pixels);
    view_apply_erases(view, size, level->channels, pixels);
}
