/* The constants of student.c. */
#include "formats/export/student_c_writer.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void student_c_comment(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc(isalnum((unsigned char)*name) || strchr("._-/", *name) ? *name : '_', out);
}

/* layerN_NAME, with what C does not allow replaced; the number makes it unique, also with _weight and others behind it.
 */
void student_c_names(struct student_c_writer *writer)
{
    const struct lowered *lowered = writer->student->lowered;
    const char **names = arena_alloc(&writer->arena, (size_t)lowered->step_count + 1, sizeof *names);
    writer->names = names;
    for (int s = 0; names && s < lowered->step_count; s++) {
        const char *from = lowered->graph.nodes[lowered->steps[s].node].name;
        char *name = arena_printf(&writer->arena, "layer%d_%.60s", s, from);
        for (char *c = name; c && *c; c++)
            *c = isalnum((unsigned char)*c) ? *c : '_';
        names[s] = name;
        if (!name)
            writer->names = names = NULL;
    }
}

/* ---- arrays ---- */
static void open_array(struct student_c_writer *writer, const char *type, const char *name, const char *part,
                       size_t count, size_t bytes)
{
    fprintf(writer->out, "static const %s %s%s[%zu] = {", type, name, part, count);
    writer->tables += count * bytes;
}

static void separate(FILE *out, size_t i, size_t per_line)
{
    if (i % per_line == 0)
        fputs("\n    ", out);
    else
        fputc(' ', out);
}

static void put_bytes(struct student_c_writer *writer, const char *type, const char *name, const char *part,
                      const uint8_t *values, size_t count)
{
    open_array(writer, type, name, part, count, 1);
    for (size_t i = 0; i < count; i++) {
        separate(writer->out, i, 24);
        fprintf(writer->out, "%d,", type[0] == 'u' ? (int)values[i] : (int)(int8_t)values[i]);
    }
    fputs("\n};\n", writer->out);
}

void student_c_bytes(struct student_c_writer *writer, const char *type, const char *name, const uint8_t *values,
                     size_t count)
{
    put_bytes(writer, type, name, "", values, count);
}

static void put_int32(struct student_c_writer *writer, const char *name, const char *part, const int32_t *values,
                      size_t count)
{
    open_array(writer, "int32_t", name, part, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        separate(writer->out, i, 10);
        fprintf(writer->out, "%ld,", (long)values[i]);
    }
    fputs("\n};\n", writer->out);
}

static void put_floats(struct student_c_writer *writer, const char *name, const char *part, const float *values,
                       size_t count)
{
    open_array(writer, "float", name, part, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        separate(writer->out, i, 8);
        fprintf(writer->out, "%.9ef,", (double)values[i]);
    }
    fputs("\n};\n", writer->out);
}

static void put_window(struct student_c_writer *writer, const char *name, const struct window *w)
{
    fprintf(writer->out,
            "static const struct window %s = {\n"
            "    %d, %d, %d, %d, %d, %d, /* in, out: height, width, channels */\n"
            "    %d, %d, %d, %d, %d, %d, /* kernel, stride, dilation */\n"
            "    %d, %d, %d, %d, %d,     /* padding above, left, below, right; groups */\n"
            "};\n",
            name, w->in_h, w->in_w, w->in_c, w->out_h, w->out_w, w->out_c, w->kernel_h, w->kernel_w, w->stride_h,
            w->stride_w, w->dilation_h, w->dilation_w, w->pad_top, w->pad_left, w->pad_bottom, w->pad_right, w->groups);
    writer->tables += sizeof *w;
}

/* ---- layers ---- */
static void put_numbers(struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const struct int8_step *numbers = &writer->student->int8->steps[s];
    const char *name = writer->names[s];
    const size_t out = (size_t)step->window.out_c;
    if (numbers->weight) {
        const size_t row = (size_t)step->window.kernel_h * (size_t)step->window.kernel_w *
                           (size_t)(step->window.in_c / step->window.groups);
        put_bytes(writer, "int8_t", name, "_weight", (const uint8_t *)numbers->weight, out * row);
        put_int32(writer, name, "_bias", numbers->bias, out);
    }
    if (numbers->table)
        put_bytes(writer, "int8_t", name, "_table", (const uint8_t *)numbers->table, 256);
    if (numbers->multiplier && step->kind != LOWERED_CONCAT) {
        put_int32(writer, name, "_multiplier", numbers->multiplier, (size_t)numbers->multiplier_count);
        if (step->kind != LOWERED_ADD)
            put_bytes(writer, "uint8_t", name, "_shift", numbers->shift, (size_t)numbers->multiplier_count);
    }
}

static void put_step(struct student_c_writer *writer, int s)
{
    const struct lowered *lowered = writer->student->lowered;
    const struct lowered_step *step = &lowered->steps[s];
    const struct window *w = &step->window;
    const char *name = writer->names[s];
    const bool layer = step->kind == LOWERED_CONV || step->kind == LOWERED_DEPTHWISE;
    if (layer || step->kind == LOWERED_MAX_POOL || step->kind == LOWERED_AVERAGE_POOL || step->kind == LOWERED_PAD)
        put_window(writer, name, w);
    if (writer->student->int8) {
        put_numbers(writer, s);
    } else if (layer) {
        const size_t out = (size_t)w->out_c;
        put_floats(writer, name, "_weight", step->packed,
                   out * (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)(w->in_c / w->groups));
        put_floats(writer, name, "_bias", step->bias, out);
    }
    if (step->kind == LOWERED_SELECT) {
        open_array(writer, "uint16_t", name, "_from", (size_t)w->out_c, sizeof(uint16_t));
        for (int c = 0; c < w->out_c; c++) {
            separate(writer->out, (size_t)c, 20);
            fprintf(writer->out, "%d,", step->channels[c]);
        }
        fputs("\n};\n", writer->out);
    }
}

void student_c_tables(struct student_c_writer *writer)
{
    const struct lowered *lowered = writer->student->lowered;
    for (int s = 0; s < lowered->step_count; s++)
        put_step(writer, s);
}
