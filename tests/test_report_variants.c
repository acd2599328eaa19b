/* Pages and charts with one thing changed: each field of a report is absent, zero or a number that is none, and each
 * chart is empty, full or of extremes. What comes out is a whole page that browsers can draw. */
#define _POSIX_C_SOURCE 200809L
#include "formats/report/class_charts.h"
#include "formats/report/report_html.h"
#include "formats/report/svg_chart.h"
#include "tests/helper_html.h"
#include "tests/helper_images.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- reports ---- */

enum { EPOCHS = 3, CLASSES = 3 };
static const double numbers[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e-300, 0.5, 1, 59.6, 60, 3599.7, 3600, 1e15};

/* Field `number` of the report gets the next of its odd values; false: there is no such field or value. */
static bool change(struct report *report, int number, int variant)
{
    double *const doubles[] = {&report->student_accuracy, &report->teacher_accuracy, &report->agreement,
                               &report->images_per_second, &report->seconds};
    const void **const pointers[] = {
        (const void **)&report->title,         (const void **)&report->subtitle,
        (const void **)&report->split,         (const void **)&report->terms,
        (const void **)&report->confusion,     (const void **)&report->teacher_class_accuracy,
        (const void **)&report->config,        (const void **)&report->baseline_class_accuracy,
        (const void **)&report->epochs,        (const void **)&report->student_reliability,
        (const void **)&report->disagreements, (const void **)&report->teacher_reliability};
    int *const counts[] = {&report->epoch_count, &report->best_epoch, &report->class_count};
    enum { DOUBLES = 5, POINTERS = 12, COUNTS = 3, NUMBERS = sizeof numbers / sizeof *numbers };
    if (number < DOUBLES && variant < NUMBERS) {
        *doubles[number] = numbers[variant];
        return true;
    }
    number -= DOUBLES;
    if (number >= 0 && number < POINTERS && variant == 0) {
        *pointers[number] = NULL;
        report->term_count = report->terms ? report->term_count : 0;
        report->epoch_count = report->epochs ? report->epoch_count : 0;
        report->disagreement_count = report->disagreements ? report->disagreement_count : 0;
        return true;
    }
    number -= POINTERS;
    if (number >= 0 && number < COUNTS && variant < 2) {
        *counts[number] = variant; /* 0 or 1, of more */
        return true;
    }
    number -= COUNTS;
    if (number == 0 && variant < 2)
        report->parameters = variant - 1;
    if (number == 1 && variant < 2)
        report->max_parameters = variant - 1;
    return number >= 0 && number <= 1 && variant < 2;
}

static void reports(void **state)
{
    (void)state;
    static const char *const classes[CLASSES] = {"a & b", "<c>", "d"}, *const terms[] = {"ce", "kd"};
    static const uint32_t confusion[] = {4, 2, 0, 1, 5, 0, 3, 0, 3};
    static const double accuracy[] = {0.5, NAN, 0.75}, baseline[] = {0.75, 0.5, NAN};
    static const struct run_epoch epochs[EPOCHS] = {{1, 1e-3, 2.5, {2, 3}, 0.25, 2.75, 0.5, 0.375, 100, 10},
                                                    {2, 5e-4, NAN, {NAN, 2}, NAN, 1.75, 0.6, NAN, 100, 10},
                                                    {3, 0, 1e300, {1, 1}, 1, INFINITY, 0.7, 1, 0, 0}};
    struct reliability student = {0}, teacher = {0};
    struct image photo;
    synthetic_photo(&photo, 8, 9, 0, 1);
    for (int i = -1; i <= 21; i++) { /* probabilities that rounding has moved beyond their range, too */
        reliability_add(&student, i / 20.0, i % 3 == 0);
        reliability_add(&teacher, i / 20.0, i > 10);
    }
    const struct photo_answer answers[] = {{"teacher", 3, {0, 1, 2}, {0.9, 0.07, 0.03}}, {NULL, 1, {1}, {1}}};
    const struct photo_card cards[] = {{&photo, "a.jpg", "note", 0, true, answers, 2},
                                       {&photo, NULL, NULL, 1, false, answers, 1},
                                       {&photo, NULL, NULL, -1, true, NULL, 0}};
    const struct report whole = {.title = "a",
                                 .subtitle = "b",
                                 .split = "val",
                                 .student_accuracy = 0.5,
                                 .teacher_accuracy = 0.75,
                                 .agreement = 0.5,
                                 .parameters = 1234567,
                                 .max_parameters = 2000000,
                                 .images_per_second = 3,
                                 .seconds = 125,
                                 .epochs = epochs,
                                 .epoch_count = EPOCHS,
                                 .terms = terms,
                                 .term_count = 2,
                                 .best_epoch = 2,
                                 .classes = classes,
                                 .class_count = CLASSES,
                                 .confusion = confusion,
                                 .teacher_class_accuracy = accuracy,
                                 .baseline_class_accuracy = baseline,
                                 .baseline_title = "Change",
                                 .student_reliability = &student,
                                 .teacher_reliability = &teacher,
                                 .disagreements = cards,
                                 .disagreement_count = 3,
                                 .config = "lr = 1\n"};
    struct report report = whole;
    int made = 0;
    for (int number = 0; change(&report, number, 0); number++)
        for (int variant = 0; report = whole, change(&report, number, variant); variant++) {
            char *html;
            assert_int_equal(report_html(&report, &html, NULL), STATUS_OK);
            assert_well_formed(html);
            assert_self_contained(html);
            assert_drawable(html);
            free(html);
            made++;
        }
    assert_true(made > 80);
    image_release(&photo);
}

/* ---- charts ---- */

enum { MANY = 70 };
static char names[MANY][40];
static const char *labels[MANY];
static double some[MANY], equal[MANY], odd[MANY];
static char *text;
static size_t size;

static FILE *begin(void)
{
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fputs("<!DOCTYPE html>", out);
    return out;
}

/* The end of what was written; whether anything was drawn. */
static bool end(FILE *out)
{
    fclose(out);
    assert_well_formed(text);
    assert_drawable(text);
    const bool drawn = strstr(text, "<svg") != NULL;
    free(text);
    return drawn;
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], i % 9 ? "n%d" : "ein sehr langer Name für Klasse <%d>", i);
        labels[i] = names[i];
        some[i] = (i * 37 % MANY) / (double)MANY;
        equal[i] = 0.5;
        odd[i] = i < (int)(sizeof numbers / sizeof *numbers) ? numbers[i] : NAN;
    }
    return 0;
}

static void classes(void **state)
{
    (void)state;
    const double *const values[] = {some, equal, odd};
    static const int counts[] = {0, 1, 3, CLASS_CHART_LIMIT, CLASS_CHART_LIMIT + 1, MANY};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) {
                const struct class_series series[] = {{"student", 0, values[a]}, {"teacher", 2, values[b]}};
                FILE *out = begin();
                assert_true(chart_class_accuracy(out, labels, counts[n], series, 2));
                assert_int_equal(end(out), counts[n] > 0 && (a != 2 || counts[n] > 3));
                if (a == 2 || b == 2) /* changes of shares are finite */
                    continue;
                out = begin();
                assert_true(chart_class_changes(out, "change", labels, counts[n], values[a], values[b]));
                assert_int_equal(end(out), counts[n] > 0);
            }
    const double gaps[] = {NAN, 0.5, NAN}, others[] = {0.5, NAN, NAN};
    FILE *out = begin();
    assert_true(chart_class_changes(out, "change", labels, 3, gaps, others));
    assert_false(end(out));
}

static void maps(void **state)
{
    (void)state;
    static const int sides[] = {0, 1, 2, 14, 15, 60};
    for (size_t r = 0; r < sizeof sides / sizeof *sides; r++)
        for (size_t c = 0; c < sizeof sides / sizeof *sides; c++)
            for (int kind = 0; kind < 6; kind++) {
                const int rows = sides[r], columns = sides[c];
                double *values = calloc((size_t)rows * (size_t)columns + 1, sizeof *values);
                for (int i = 0; i < rows * columns; i++)
                    values[i] = kind == 0 ? NAN : kind == 1 ? 0 : kind == 2 ? odd[i % MANY] : some[i % MANY];
                const struct heat_map map = {.title = "map",
                                             .row_title = "r",
                                             .column_title = "c",
                                             .row_labels = labels,
                                             .column_labels = labels,
                                             .rows = rows,
                                             .columns = columns,
                                             .values = values,
                                             .numbers = kind == 3 ? values : NULL,
                                             .low = 0,
                                             .high = 1,
                                             .decimals = 1,
                                             .faint_visible = kind == 4,
                                             .mark_highest = kind != 5};
                FILE *out = begin();
                chart_heat_map(out, &map);
                assert_int_equal(end(out), rows > 0 && columns > 0);
                free(values);
            }
}

static void bars(void **state)
{
    (void)state;
    const double *const values[CHART_COLORS + 1] = {some, equal, odd, some, some, some, some, some, some};
    static const int colors[CHART_COLORS + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (int count = 0; count <= 13; count += 13)
        for (int series = 0; series <= CHART_COLORS + 1; series++) {
            const struct bar_chart chart = {"bars", labels, count, labels, values, colors, series};
            FILE *out = begin();
            chart_bars(out, &chart);
            assert_int_equal(end(out), count > 0 && series > 0 && series <= CHART_COLORS);
        }
    FILE *out = begin();
    chart_changes(out, "none", labels, some, 0);
    assert_false(end(out));
}

/* Lines with and without each of what a line may have. */
static void lines(void **state)
{
    (void)state;
    static const double ends[] = {NAN, 2, NAN, 4, 5, NAN, INFINITY, 8}, near[] = {0.5, 0.5, 0.75, NAN, 1, 0, 0.2, 0.1};
    static const double errors[] = {0.1, NAN, 0.9, 0.1, 2, 0, 0.1, 0.1};
    for (unsigned bits = 0; bits < 1u << 12; bits++) {
        const double *const wide = bits & 512 ? near : odd; /* no axis of shares has numbers of any size */
        struct chart_series series[40];
        const struct chart_legend_entry legend[] = {{"<one>", 1, bits & 1, bits & 2 ? 120 : 0}, {"two", 9, false, 0}};
        const int count = bits & 4 ? 40 : 2; /* more than a legend has room for */
        for (int s = 0; s < count; s++)
            series[s] = (struct chart_series){.name = names[s],
                                              .x = bits & 8 ? ends : NULL,
                                              .y = s == 1 && bits & 16 ? wide : near,
                                              .count = s == 1 && bits & 32 ? 0 : 8,
                                              .color = s,
                                              .dashed = bits & 1,
                                              .hue = bits & 2 ? 1 + s : 0,
                                              .faint = bits & 64,
                                              .bold = bits & 128,
                                              .error = bits & 256 ? errors : NULL};
        const struct line_chart chart = {.title = "lines",
                                         .x_label = "x",
                                         .series = series,
                                         .series_count = count,
                                         .percent = bits & 512,
                                         .mark = bits & 2   ? 4
                                                 : bits & 1 ? 100
                                                            : NAN,
                                         .mark_label = bits & 64 ? "best" : NULL,
                                         .no_legend = bits & 1024,
                                         .legend = legend,
                                         .legend_count = bits & 1024 ? 2 : 0,
                                         .logarithmic = bits & 2048};
        FILE *out = begin();
        chart_lines(out, &chart);
        assert_true(end(out));
        out = begin();
        assert_true(chart_lines_file(out, &chart));
        fclose(out);
        assert_well_formed(text);
        assert_true(!strstr(text, "nan") && !strstr(text, "inf"));
        free(text);
    }
}

static void texts(void **state)
{
    (void)state;
    static const char *const strings[] = {"",
                                          "a",
                                          "\x01\x1f\n\t\x7f",
                                          "<&>\"'",
                                          "äöüäöüäöüäöüäöüäöüäöüäöü",
                                          "\xf0\x9f\x90\xb1\xf0\x9f\x90\xb1\xf0\x9f\x90\xb1",
                                          "\xff\xfe\x80\x80"};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        for (int limit = 1; limit < 300; limit += 7) {
            FILE *out = begin();
            chart_label(out, strings[i], limit);
            html_escape(out, strings[i]);
            fclose(out);
            assert_well_formed(text);
            free(text);
        }
    char *long_text = malloc(5000);
    memset(long_text, 'x', 4999);
    long_text[4999] = 0;
    FILE *out = begin();
    chart_label(out, long_text, 4000);
    fclose(out);
    assert_well_formed(text);
    free(text);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reports), cmocka_unit_test(classes), cmocka_unit_test(maps),
                                       cmocka_unit_test(bars),    cmocka_unit_test(lines),   cmocka_unit_test(texts)};
    return cmocka_run_group_tests_name("report_variants", tests, setup, NULL);
}
