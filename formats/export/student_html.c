#define _POSIX_C_SOURCE 200809L
#include "formats/export/student_html.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* student_page.html, built into the program; the description of the network goes where it says so. */
extern const struct page_text {
    const char *name, *text;
} page_texts[];
static const char place[] = "/*STUDENT*/\n";

struct writer {
    const struct int8_net *net;
    FILE *out;    /* the description: a JavaScript object */
    FILE *tables; /* what becomes its `data` */
    size_t tables_size;
};

/* ', "NAME": [OFFSET, COUNT]' of a typed array, whose offset must be a multiple of its elements' size. */
static void put_table(struct writer *writer, const char *name, const void *values, size_t count, size_t size)
{
    static const char zeros[4] = {0};
    const size_t padding = (4 - writer->tables_size % 4) % 4;
    fwrite(zeros, 1, padding, writer->tables);
    writer->tables_size += padding;
    fprintf(writer->out, ", \"%s\": [%zu, %zu]", name, writer->tables_size, count);
    fwrite(values, size, count, writer->tables);
    writer->tables_size += count * size;
}

static void put_window(FILE *out, const struct window *w)
{
    fprintf(out,
            ", \"window\": {\"in_h\": %d, \"in_w\": %d, \"in_c\": %d, \"out_h\": %d, \"out_w\": %d, \"out_c\": %d, "
            "\"kernel_h\": %d, \"kernel_w\": %d, \"stride_h\": %d, \"stride_w\": %d, \"dilation_h\": %d, "
            "\"dilation_w\": %d, \"pad_top\": %d, \"pad_left\": %d, \"pad_bottom\": %d, \"pad_right\": %d, "
            "\"groups\": %d}",
            w->in_h, w->in_w, w->in_c, w->out_h, w->out_w, w->out_c, w->kernel_h, w->kernel_w, w->stride_h, w->stride_w,
            w->dilation_h, w->dilation_w, w->pad_top, w->pad_left, w->pad_bottom, w->pad_right, w->groups);
}

static void put_step(struct writer *writer, int s)
{
    const struct lowered_step *step = &writer->net->lowered->steps[s];
    const struct int8_step *numbers = &writer->net->steps[s];
    const struct window *w = &step->window;
    const size_t out_c = (size_t)w->out_c;
    FILE *out = writer->out;
    fprintf(out, "%s\n{\"layer\": \"%s\", \"out\": %d, \"in\": [", s ? "," : "", lowered_kernel_names[step->kind],
            step->output);
    for (int k = 0; k < step->input_count; k++)
        fprintf(out, "%s%d", k ? ", " : "", step->inputs[k]);
    fprintf(out, "], \"low\": %d, \"high\": %d", numbers->low, numbers->high);
    put_window(out, w);
    if (numbers->weight) {
        const size_t row = (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)(w->in_c / w->groups);
        put_table(writer, "weight", numbers->weight, out_c * row, sizeof *numbers->weight);
        put_table(writer, "bias", numbers->bias, out_c, sizeof *numbers->bias);
    }
    if (numbers->table)
        put_table(writer, "table", numbers->table, 256, sizeof *numbers->table);
    if (numbers->multiplier) {
        const size_t count = (size_t)numbers->multiplier_count;
        put_table(writer, "multiplier", numbers->multiplier, count, sizeof *numbers->multiplier);
        put_table(writer, "shift", numbers->shift, step->kind == LOWERED_ADD ? 1 : count, sizeof *numbers->shift);
    }
    if (step->kind == LOWERED_SELECT)
        put_table(writer, "channels", step->channels, out_c, sizeof *step->channels);
    if (step->kind == LOWERED_AVERAGE_POOL)
        fprintf(out, ", \"count_padding\": %d", step->count_padding);
    if (step->kind == LOWERED_MULTIPLY)
        fprintf(out, ", \"pixel_step\": %d, \"channel_step\": %d", step->pixel_step, step->channel_step);
    fputc('}', out);
}

/* JSON within a page: "<" could begin "</script>". */
static void put_escaped(FILE *out, const char *json)
{
    for (; *json; json++)
        if (*json == '<')
            fputs("\\u003c", out);
        else
            fputc(*json, out);
}

static void put_description(struct writer *writer, const struct model_card *card, const char *classes)
{
    static const char *const resizes[IMAGE_RESIZE_COUNT] = {"shorter", "squash", "pad"};
    const struct lowered *lowered = writer->net->lowered;
    FILE *out = writer->out;
    fputs("{\"classes\": ", out);
    put_escaped(out, classes);
    fprintf(out,
            ",\n\"channels\": %d, \"upright\": %s, \"resize\": \"%s\", \"base\": %d, \"crop\": %d, \"size\": %d,\n"
            "\"arena\": %zu, \"input\": %d, \"output\": %d",
            card->channels, card->upright ? "true" : "false", resizes[card->resize], card->base, card->crop, card->size,
            lowered->arena_values, lowered->input, lowered->output);
    put_table(writer, "pixels", writer->net->pixels, 256 * (size_t)card->channels, 1);
    fputs(",\n\"values\": [", out);
    for (int v = 0; v < lowered->value_count; v++) {
        const struct lowered_value *value = &lowered->values[v];
        fprintf(out, "%s\n{\"offset\": %zu, \"count\": %zu, \"channels\": %d, \"zero\": %d, \"scale\": %.9g}",
                v ? "," : "", value->offset, value->count, value->shape.c, writer->net->values[v].zero,
                (double)writer->net->values[v].scale);
    }
    fputs("],\n\"steps\": [", out);
    for (int s = 0; s < lowered->step_count; s++)
        put_step(writer, s);
    fputs("],\n\"data\": \"", out);
}

/* In pieces, each a multiple of three bytes: only the last one is padded. */
static void put_base64(FILE *out, const uint8_t *bytes, size_t size)
{
    enum { PIECE = 48 * 1024 };
    unsigned char text[PIECE / 3 * 4 + 1];
    for (size_t at = 0; at < size; at += PIECE) {
        const size_t count = size - at < PIECE ? size - at : PIECE;
        EVP_EncodeBlock(text, bytes + at, (int)count);
        fputs((const char *)text, out);
    }
}

enum status student_html_write(const struct int8_net *net, const struct model_card *card, char **text, size_t *size,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const char *page = page_texts[0].text, *split = strstr(page, place);
    struct writer writer = {.net = net};
    char *tables = NULL;
    size_t tables_size = 0;
    cJSON *names = model_card_classes(card);
    char *classes = names ? cJSON_PrintUnformatted(names) : NULL;
    *text = NULL;
    writer.out = open_memstream(text, size);
    writer.tables = open_memstream(&tables, &tables_size);
    bool ok = classes && writer.out && writer.tables;
    if (ok) {
        fwrite(page, 1, (size_t)(split - page), writer.out);
        put_description(&writer, card, classes);
        ok = fclose(writer.tables) == 0;
        writer.tables = NULL;
    }
    if (ok) {
        put_base64(writer.out, (const uint8_t *)tables, tables_size);
        fprintf(writer.out, "\"}\n%s", split + sizeof place - 1);
    }
    if (writer.tables)
        fclose(writer.tables);
    if (writer.out && fclose(writer.out) != 0)
        ok = false;
    if (!ok)
        status = error_no_memory(err, 0, "student.html");
    if (!ok) {
        free(*text);
        *text = NULL;
    }
    free(tables);
    cJSON_free(classes);
    cJSON_Delete(names);
    return status;
}
