#define _POSIX_C_SOURCE 200809L
#include "formats/export/student_c.h"

#include "formats/export/student_c_writer.h"
#include "shared/quantise/calibration.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *value_type(const struct student_c *student)
{
    return student->int8 ? "int8_t" : "float";
}

static size_t arena_bytes(const struct student_c *student)
{
    return student->lowered->arena_values * (student->int8 ? 1 : sizeof(float));
}

/* Bytes of student_resize's rows. */
static size_t resize_bytes(const struct model_card *card)
{
    const size_t channels = (size_t)card->channels;
    return channels * ((size_t)card->crop * (2 + sizeof(int32_t)) + (size_t)card->size * (1 + sizeof(int32_t)));
}

/* A string literal: letters, digits and blanks as they are, anything else as an octal escape. */
static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr(" ._-", *text))
            fputc(*text, out);
        else
            fprintf(out, "\\%03o", (unsigned)(unsigned char)*text);
    fputc('"', out);
}

static const char *resize_mode_name(enum image_resize mode)
{
    static const char *const names[IMAGE_RESIZE_COUNT] = {"RESIZE_SHORTER", "RESIZE_SQUASH", "RESIZE_PAD"};
    return names[mode];
}

/* ---- the source ---- */
static void put_pixel_tables(struct student_c_writer *writer)
{
    const struct student_c *student = writer->student;
    const struct model_card *card = student->card;
    fputs("/* What a pixel's value is to the network: normalised", writer->out);
    if (!student->int8) {
        fputs(". */\n", writer->out);
        for (int k = 0; k < 2; k++) {
            fprintf(writer->out, "static const float pixel_%s[%d] = {", k ? "std" : "mean", card->channels);
            for (int c = 0; c < card->channels; c++)
                fprintf(writer->out, "%s%.9ef", c ? ", " : "", (double)(k ? card->std[c] : card->mean[c]));
            fputs("};\n", writer->out);
        }
        return;
    }
    fputs(" and quantised, for every channel. */\n", writer->out);
    student_c_bytes(writer, "int8_t", "pixel_values", (const uint8_t *)student->int8->pixels,
                    256 * (size_t)card->channels);
}

static void put_classes(struct student_c_writer *writer)
{
    const struct model_card *card = writer->student->card;
    fputs("\nconst char *const student_classes[STUDENT_CLASSES] = {\n", writer->out);
    for (int k = 0; k < card->class_count; k++) {
        fputs("    ", writer->out);
        put_string(writer->out, card->classes[k]);
        fputs(",\n", writer->out);
        writer->tables += strlen(card->classes[k]) + 1 + sizeof(uint32_t);
    }
    fputs("};\n", writer->out);
}

static void put_predict(struct student_c_writer *writer)
{
    const struct student_c *student = writer->student;
    const struct lowered *lowered = student->lowered;
    const struct lowered_value *in = &lowered->values[lowered->input], *result = &lowered->values[lowered->output];
    FILE *out = writer->out;
    fprintf(out,
            "\n/* Values of all layers: those that do not live at the same time share places. */\n"
            "static %s arena[%zu];\n"
            "\n"
            "void student_predict(const uint8_t *pixels, %s *logits)\n"
            "{\n"
            "    for (int i = 0; i < %zu; i++)\n",
            value_type(student), lowered->arena_values, value_type(student), in->count);
    if (student->int8)
        fprintf(out, "        arena[%zu + i] = pixel_values[i %% %d * 256 + pixels[i]];\n", in->offset, in->shape.c);
    else
        fprintf(out,
                "        arena[%zu + i] = ((float)pixels[i] / 255.0f - pixel_mean[i %% %d]) / pixel_std[i %% %d];\n",
                in->offset, in->shape.c, in->shape.c);
    student_c_calls(writer);
    fprintf(out,
            "    for (int i = 0; i < STUDENT_CLASSES; i++)\n"
            "        logits[i] = arena[%zu + i];\n"
            "}\n",
            result->offset);
}

static void put_resize(struct student_c_writer *writer)
{
    const struct model_card *card = writer->student->card;
    fprintf(writer->out,
            "\nvoid student_resize(const uint8_t *photo, int height, int width, uint8_t *pixels)\n"
            "{\n"
            "    enum { CROP = %d, SIZE = STUDENT_SIZE, CHANNELS = STUDENT_CHANNELS };\n"
            "    static uint8_t row[CROP * CHANNELS], crop[CROP * CHANNELS], narrow[SIZE * CHANNELS];\n"
            "    static int32_t crop_sums[CROP * CHANNELS], sums[SIZE * CHANNELS];\n"
            "    const struct photo p = photo_of(photo, height, width, CHANNELS, %s, %d, CROP);\n"
            "    for (int y = 0; y < SIZE; y++) {\n"
            "        const struct taps t = taps_of(y, CROP, SIZE);\n"
            "        for (int i = 0; i < SIZE * CHANNELS; i++)\n"
            "            sums[i] = 1 << 21;\n"
            "        for (int k = 0; k < t.count; k++) {\n"
            "            const int32_t weight = tap_weight(&t, k);\n"
            "            crop_row(&p, t.first + k, row, crop_sums, crop);\n"
            "            resize_row(crop, CROP, SIZE, 0, SIZE, CHANNELS, narrow);\n"
            "            for (int i = 0; i < SIZE * CHANNELS; i++)\n"
            "                sums[i] += narrow[i] * weight;\n"
            "        }\n"
            "        for (int i = 0; i < SIZE * CHANNELS; i++)\n"
            "            *pixels++ = tapped(sums[i]);\n"
            "    }\n"
            "}\n",
            card->crop, resize_mode_name(card->resize), card->base);
}

/* The example's logits: of int8_run, or of lowered_run. */
static enum status put_expected(struct student_c_writer *writer, struct error *err)
{
    const struct student_c *student = writer->student;
    const struct lowered *lowered = student->lowered;
    const struct lowered_value *in = &lowered->values[lowered->input];
    const size_t classes = lowered->values[lowered->output].count;
    float table[3][256], *input = arena_alloc(&writer->arena, in->count, sizeof *input);
    void *values = arena_alloc(&writer->arena, lowered->arena_values, sizeof(float));
    float *logits = arena_alloc(&writer->arena, classes, sizeof *logits);
    if (!input || !values || !logits)
        return error_no_memory(err, lowered->arena_values * sizeof(float), "student.c");
    if (student->int8) {
        int8_run(student->int8, student->example, values, (int8_t *)logits);
        student_c_bytes(writer, "int8_t", "test_logits", (const uint8_t *)logits, classes);
        return STATUS_OK;
    }
    view_normalisation_table(table, student->card->mean, student->card->std, in->shape.c);
    pixels_normalise(student->example, in->count, in->shape.c, table, input);
    lowered_run(lowered, input, values, NULL, NULL, logits);
    fprintf(writer->out, "static const float test_logits[%zu] = {\n", classes);
    for (size_t k = 0; k < classes; k++)
        fprintf(writer->out, "    %.9ef,\n", (double)logits[k]);
    fputs("};\n", writer->out);
    return STATUS_OK;
}

static enum status put_test(struct student_c_writer *writer, struct error *err)
{
    const struct student_c *student = writer->student;
    const size_t before = writer->tables;
    fputs("\n#ifdef STUDENT_TEST\n#include <stdio.h>\n\n/* A picture, and what the network must say about it. */\n",
          writer->out);
    student_c_bytes(writer, "uint8_t", "test_pixels", student->example,
                    student->lowered->values[student->lowered->input].count);
    const enum status status = put_expected(writer, err);
    fprintf(writer->out,
            "\nint main(void)\n"
            "{\n"
            "    static %s logits[STUDENT_CLASSES];\n"
            "    int wrong = 0;\n"
            "    student_predict(test_pixels, logits);\n"
            "    for (int i = 0; i < STUDENT_CLASSES; i++)\n",
            value_type(student));
    if (student->int8)
        fputs("        if (logits[i] != test_logits[i]) {\n"
              "            printf(\"logit %d is %d, not %d\\n\", i, logits[i], test_logits[i]);\n",
              writer->out);
    else
        fputs("        if (!(fabsf(logits[i] - test_logits[i]) <= 1e-4f + 1e-4f * fabsf(test_logits[i]))) {\n"
              "            printf(\"logit %d is %g, not %g\\n\", i, (double)logits[i], (double)test_logits[i]);\n",
              writer->out);
    fputs("            wrong++;\n"
          "        }\n"
          "    printf(wrong ? \"%d logits are wrong\\n\" : \"the logits are right\\n\", wrong);\n"
          "    return wrong > 0;\n"
          "}\n"
          "#endif\n",
          writer->out);
    writer->tables = before;
    return status;
}

static enum status put_body(struct student_c_writer *writer, struct error *err)
{
    const char *missing = NULL;
    fputs("#include \"student.h\"\n\n#include <float.h>\n#include <math.h>\n#include <stddef.h>\n\n"
          "/* ---- functions ---- */\n\n",
          writer->out);
    if (!student_c_functions(writer, &missing))
        return error_set(err, STATUS_CONFIG, NULL, "activation %s has no form in C", missing);
    fputs("/* ---- constants ---- */\n\n", writer->out);
    put_pixel_tables(writer);
    student_c_tables(writer);
    put_classes(writer);
    fputs("\n/* ---- the network ---- */\n", writer->out);
    put_predict(writer);
    put_resize(writer);
    return put_test(writer, err);
}

static void put_sizes(const struct student_c_writer *writer, FILE *out)
{
    const struct student_c *student = writer->student;
    fprintf(out,
            " * RAM: %zu bytes (the arena); another %zu if student_resize is called\n"
            " * Flash: %zu bytes of constants, and the code\n",
            arena_bytes(student), resize_bytes(student->card), writer->tables);
}

static enum status write_source(struct student_c_writer *writer, struct student_c_files *files, struct error *err)
{
    char *body = NULL;
    size_t size = 0;
    enum status status = STATUS_OK;
    bool ok = true;
    writer->out = open_memstream(&body, &size);
    if (!writer->out)
        return error_no_memory(err, 0, "student.c");
    status = put_body(writer, err);
    ok = fclose(writer->out) == 0;
    FILE *out = ok && status == STATUS_OK ? open_memstream(&files->source, &files->source_size) : NULL;
    if (out) {
        fprintf(out, "/* A student in %s, written by softcache; student.h says how to call it.\n",
                writer->student->int8 ? "8-bit integers" : "float");
        put_sizes(writer, out);
        fprintf(out,
                " *\n * -DSTUDENT_TEST makes it a program that checks itself:\n"
                " *     cc -std=c99 -O2 -DSTUDENT_TEST student.c -lm && ./a.out */\n%s",
                body);
        ok = fclose(out) == 0;
    }
    free(body);
    if (status == STATUS_OK && (!out || !ok))
        status = error_no_memory(err, size, "student.c");
    return status;
}

/* ---- the header ---- */
static void put_header(const struct student_c_writer *writer, FILE *out)
{
    const struct student_c *student = writer->student;
    const struct model_card *card = student->card;
    fputs("/* A student written by softcache: what a small network says about a picture.\n", out);
    put_sizes(writer, out);
    fputs(" */\n#ifndef STUDENT_H\n#define STUDENT_H\n\n#include <stdint.h>\n\n", out);
    fprintf(out,
            "#define STUDENT_SIZE %d     /* side of the picture in pixels */\n"
            "#define STUDENT_CHANNELS %d /* %s */\n"
            "#define STUDENT_CLASSES %d\n",
            card->size, card->channels,
            card->channels == 3 ? "red, green, blue" : "gray: (19595 * r + 38470 * g + 7471 * b + 32768) >> 16",
            card->class_count);
    if (student->int8) {
        const struct int8_value logit = student->int8->values[student->lowered->output];
        fprintf(out,
                "\n/* A logit as a number: STUDENT_LOGIT_SCALE * (logit - STUDENT_LOGIT_ZERO) */\n"
                "#define STUDENT_LOGIT_SCALE %.9ef\n#define STUDENT_LOGIT_ZERO (%d)\n",
                (double)logit.scale, logit.zero);
    }
    fprintf(
        out,
        "\n/* Names of the classes, in the order of the logits. */\n"
        "extern const char *const student_classes[STUDENT_CLASSES];\n"
        "\n"
        "/* pixels[STUDENT_SIZE][STUDENT_SIZE][STUDENT_CHANNELS] to logits[STUDENT_CLASSES]; the largest one is the\n"
        " * class. Not for two threads at a time. */\n"
        "void student_predict(const uint8_t *pixels, %s *logits);\n"
        "\n"
        "/* photo[height][width][STUDENT_CHANNELS] to pixels as the student was trained on: bit-equal to Pillow's\n"
        " * antialiased bilinear filter. It needs doubles and recomputes rows rather than keep them, so a camera that\n"
        " * gives STUDENT_SIZE pixels itself is faster. One side may be at most %d times the other. */\n"
        "void student_resize(const uint8_t *photo, int height, int width, uint8_t *pixels);\n"
        "\n"
        "#endif\n",
        value_type(student), IMAGE_MAX_ASPECT);
}

enum status student_c_write(const struct student_c *student, struct student_c_files *files, struct error *err)
{
    enum status status = STATUS_OK;
    struct student_c_writer writer = {.student = student};
    FILE *out = NULL;
    *files = (struct student_c_files){0};
    student_c_names(&writer);
    if (!writer.names)
        FAIL(error_no_memory(err, 0, "student.c"));
    TRY(write_source(&writer, files, err));
    files->arena = arena_bytes(student);
    files->tables = writer.tables;
    out = open_memstream(&files->header, &files->header_size);
    if (out)
        put_header(&writer, out);
    if (!out || fclose(out) != 0)
        FAIL(error_no_memory(err, 0, "student.h"));
cleanup:
    arena_release(&writer.arena);
    if (status != STATUS_OK)
        student_c_files_free(files);
    return status;
}

void student_c_files_free(struct student_c_files *files)
{
    free(files->source);
    free(files->header);
    *files = (struct student_c_files){0};
}
