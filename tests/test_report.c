/* report.html: well-formed, self-contained, escaped, with the numbers in it, and whole for every odd input. */
#define _GNU_SOURCE
#include "formats/image/image_file.h"
#include "formats/report/report_html.h"
#include "formats/report/svg_chart.h"
#include "tests/helper_html.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A picture with error bars on a logarithmic axis is a whole document, and has the numbers. */
static void charts_are_files(void **state)
{
    (void)state;
    static const double x[] = {1, 4, 64}, y[] = {0.7, 0.75, 0.8}, error[] = {0.01, NAN, 0.02};
    const struct chart_series series = {.name = "ce & <kd>", .x = x, .y = y, .error = error, .count = 3};
    struct line_chart chart = {.title = "views",
                               .x_label = "views",
                               .series = &series,
                               .series_count = 1,
                               .percent = true,
                               .logarithmic = true,
                               .mark = NAN};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fputs("<!DOCTYPE html>", out); /* what the check below expects */
    assert_true(chart_lines_file(out, &chart));
    fclose(out);
    assert_well_formed(text);
    assert_drawable(text);
    assert_non_null(strstr(text, "<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert_non_null(strstr(text, "ce &amp; &lt;kd&gt;"));
    /* 4 is a third of the way from 1 to 64, and stands at a tick of its own */
    assert_non_null(strstr(text, "x=\"202.0\" y=\"253\" text-anchor=\"middle\">4<"));
    assert_non_null(strstr(text, "<circle class=\"c0\" cx=\"202.0\""));
    int bars = 0;
    for (const char *at = text; (at = strstr(at, "class=\"error c0\"")) != NULL; at++)
        bars++;
    assert_int_equal(bars, 2); /* the point without an error has none */
    free(text);
    chart.series_count = 0;
    out = fopen("/dev/null", "w");
    assert_false(chart_lines_file(out, &chart));
    fclose(out);
}

static void check(const struct report *report, const char *const *wanted)
{
    char *html;
    assert_int_equal(report_html(report, &html, NULL), STATUS_OK);
    assert_well_formed(html);
    assert_self_contained(html);
    assert_drawable(html);
    for (; *wanted; wanted++)
        if (!strstr(html, *wanted))
            fail_msg("'%s' is not in the page", *wanted);
    free(html);
}

static const struct report unknown = {
    .student_accuracy = NAN, .teacher_accuracy = NAN, .agreement = NAN, .images_per_second = NAN, .seconds = NAN};
static const char *const class_names[] = {"bread & butter", "<b>egg</b>", "soup"};

static void has_the_numbers(void **state)
{
    (void)state;
    static const struct run_epoch epochs[] = {{1, 1e-3, 2.5, {2, 3}, 0.25, 2.75, 0.5, 0.375, 100, 10},
                                              {2, 5e-4, 1.5, {1, 2}, 0.5, 1.75, 0.625, 0.5, 100, 10}};
    static const uint32_t confusion[] = {40, 10, 0, 5, 45, 0, 0, 0, 0};
    static const double teacher[] = {0.875, 0.9625, NAN};
    const struct report report = {.title = "dwpw, kd(T=4)",
                                  .subtitle = "on CPU",
                                  .split = "test",
                                  .student_accuracy = 0.9132,
                                  .teacher_accuracy = 0.9604,
                                  .agreement = 0.9415,
                                  .parameters = 51339,
                                  .max_parameters = 60000,
                                  .images_per_second = 1312.4,
                                  .seconds = 3932,
                                  .epochs = epochs,
                                  .epoch_count = 2,
                                  .terms = (const char *const[]){"ce", "kd"},
                                  .term_count = 2,
                                  .best_epoch = 2,
                                  .classes = class_names,
                                  .class_count = 3,
                                  .confusion = confusion,
                                  .teacher_class_accuracy = teacher,
                                  .config = "[fit]\nlr = 1e-3\n"};
    static const char *const wanted[] = {
        "91.32 %",
        "96.04 %",
        "−4.72 points",
        "94.15 %",
        "51,339",
        "of at most 60,000",
        "1,312",
        "1 h 05 m",
        "2 epochs",
        "on test",
        "Loss terms",
        "Learning rate",
        "bread &amp; butter, student: 80.00 %",
        "bread &amp; butter, teacher: 87.50 %",
        "bread &amp; butter / &lt;b&gt;egg&lt;/b&gt;: 10",
        "<td>10</td><td>20.0 %</td>",
        "[fit]\nlr = 1e-3",
        "epoch 2\ntraining: 50.00 %\nvalidation: 62.50 %\nagreement with teacher: 50.00 %\nteacher: 96.04 %",
        "best",
        "<td>2</td><td>0.0005</td><td>1.50000</td><td>1.75000</td>",
        NULL};
    check(&report, wanted);
}

static void escapes_everything(void **state)
{
    (void)state;
    static const char evil[] = "</title><script src='http://x'>&\"\x01";
    static const uint32_t confusion[] = {1, 1, 0, 1};
    const struct run_epoch epochs[] = {{1, 1, 1, {1, 1}, 1, 1, 1, 1, 1, 1}};
    struct report report = unknown;
    report.title = report.subtitle = report.split = report.config = "</title><b a='c'>&\"\x01";
    report.student_accuracy = 0.5;
    report.classes = report.terms = (const char *const[]){"</text><b>&\"\x02", "c'"};
    report.class_count = report.term_count = 2;
    report.confusion = confusion;
    report.epochs = epochs;
    report.epoch_count = 1;
    check(&report, (const char *const[]){"&lt;/title&gt;&lt;b a=&#39;c&#39;&gt;&amp;&quot; ", "&lt;/text&gt;", NULL});
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    html_escape(out, evil);
    fclose(out);
    assert_string_equal(text, "&lt;/title&gt;&lt;script src=&#39;http://x&#39;&gt;&amp;&quot; ");
    free(text);
}

static void copes_with_missing_and_odd_numbers(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    check(&unknown, nothing);
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, 1e300, -1e300, 1e-300, 0.1};
    enum { COUNT = sizeof odd / sizeof *odd };
    for (int first = 0; first < COUNT; first++)
        for (int count = 1; count <= 3; count++) {
            struct run_epoch epochs[3];
            for (int i = 0; i < count; i++) {
                double a = odd[(first + i) % COUNT], b = odd[(first + 3 * i + 1) % COUNT];
                epochs[i] = (struct run_epoch){i + 1, b, a, {a, b}, a, b, b, a, b, a};
            }
            struct report report = unknown;
            report.epochs = epochs;
            report.epoch_count = count;
            report.best_epoch = 2;
            report.teacher_accuracy = 0.5;
            check(&report, nothing);
        }
}

static void many_classes_and_epochs_stay_small(void **state)
{
    (void)state;
    enum { CLASSES = 1000, EPOCHS = 20000 };
    const char **classes = malloc(CLASSES * sizeof *classes);
    uint32_t *confusion = calloc((size_t)CLASSES * CLASSES, sizeof *confusion);
    struct run_epoch *epochs = calloc(EPOCHS, sizeof *epochs);
    for (int i = 0; i < CLASSES; i++) {
        classes[i] = "ein ziemlich langer Name für eine Klasse";
        confusion[(size_t)i * CLASSES + (size_t)i] = 50;
        confusion[(size_t)i * CLASSES + (size_t)((i + 1) % CLASSES)] = (uint32_t)i % 7;
    }
    for (int i = 0; i < EPOCHS; i++)
        epochs[i] =
            (struct run_epoch){.epoch = i + 1, .learning_rate = 0.1, .train_loss = 1.0 / (i + 1), .val_accuracy = 0.5};
    struct report report = unknown;
    report.classes = classes;
    report.class_count = CLASSES;
    report.confusion = confusion;
    report.epochs = epochs;
    report.epoch_count = EPOCHS;
    char *html;
    assert_int_equal(report_html(&report, &html, NULL), STATUS_OK);
    assert_well_formed(html);
    assert_true(strlen(html) < 1 << 20);
    assert_null(strstr(html, "Confusion matrix"));
    assert_non_null(strstr(html, "the 30 worst"));
    assert_non_null(strstr(html, "ein ziemlich lang…")); /* 17 characters and the ellipsis */
    free(html);
    free(classes);
    free(confusion);
    free(epochs);
}

/* ---- photos ---- */

static struct photo_answer answer_of(const char *who, double a, double b, double c, double d)
{
    const double probabilities[] = {a, b, c, d};
    return photo_answer_of(who, probabilities, 4);
}

static void answers_are_the_highest(void **state)
{
    (void)state;
    const struct photo_answer answer = answer_of("t", 0.1, 0.4, 0.1, 0.4);
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.classes[0], 1); /* of equal ones the first comes first */
    assert_int_equal(answer.classes[1], 3);
    assert_int_equal(answer.classes[2], 0);
    assert_true(fabs(answer.probabilities[2] - (0.1)) <= 1e-12);
    const double one = 1;
    assert_int_equal(photo_answer_of(NULL, &one, 1).count, 1);
}

/* Names that come from folders and manifests are text, in an attribute and outside of it. The picture is a JPEG with
 * the pixels' colour. */
static void photos_are_escaped_and_whole(void **state)
{
    (void)state;
    static const char *const evil[] = {"<img onerror=alert(1)>", "\"><b>", "&'", "d"};
    const struct photo_answer answers[] = {answer_of("<student>", 0.1, 0.5, 0.2, 0.2),
                                           answer_of("teacher", 0, 0, 0, 1)};
    uint8_t pixels[16 * 16 * 3];
    for (int i = 0; i < 16 * 16; i++)
        pixels[3 * i] = 200, pixels[3 * i + 1] = 100, pixels[3 * i + 2] = 50;
    struct image image = {.pixels = pixels, .h = 16, .w = 16, .channels = 3};
    const struct photo_card card = {.image = &image,
                                    .title = "a\"><script>alert(1)</script>.jpg",
                                    .note = "<i>",
                                    .label = 1,
                                    .label_shown = true,
                                    .answers = answers,
                                    .answer_count = 2};
    struct report report = unknown;
    report.classes = evil;
    report.class_count = 4;
    report.disagreements = &card;
    report.disagreement_count = 1;
    check(&report, (const char *const[]){
                       "alt=\"a&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;.jpg\"", "&lt;student&gt;", "&lt;i&gt;",
                       "title=\"&lt;img onerror=alert(1)&gt;\"",
                       "<span class=\"answer right\" style=\"--share:50.0%\" title=\"&quot;&gt;&lt;b&gt;\">", NULL});
    char *html;
    assert_int_equal(report_html(&report, &html, NULL), STATUS_OK);
    const char *base64 = strstr(html, "base64,") + 7;
    uint8_t bytes[4096];
    size_t size = 0;
    for (uint32_t group = 0, count = 0; *base64 != '"' && *base64 != '='; base64++) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert_non_null(strchr(digits, *base64));
        group = group << 6 | (uint32_t)(strchr(digits, *base64) - digits);
        if (++count % 4 != 1)
            bytes[size++] = (uint8_t)(group >> (count % 4 == 2 ? 4 : count % 4 == 3 ? 2 : 0));
        assert_true(size < sizeof bytes);
    }
    struct image again = {0};
    struct error err = {0};
    assert_int_equal(image_file_decode(bytes, size, &(struct image_reading){0}, "page", &again, &err), STATUS_OK);
    assert_int_equal(again.h, 16);
    for (int c = 0; c < 3; c++)
        assert_in_range(again.pixels[3 * 100 + c] + 4, pixels[c], pixels[c] + 8);
    image_release(&again);
    free(html);
}

/* ---- reliability and changes ---- */

static void calibration_error_is_the_definition(void **state)
{
    (void)state;
    struct reliability reliability = {0};
    assert_true(isnan(reliability_error(&reliability)));
    /* two bins of 15: 3 of 4 right at 0.9, 0 of 1 right at 0.5; and the ends of the scale */
    for (int i = 0; i < 4; i++)
        reliability_add(&reliability, 0.9, i < 3);
    reliability_add(&reliability, NAN, true); /* is not counted */
    reliability_add(&reliability, 0.5, false);
    assert_true(fabs(reliability_error(&reliability) - ((4 * fabs(0.75 - 0.9) + 0.5) / 5)) <= 1e-12);
    reliability_add(&reliability, 1, true);
    reliability_add(&reliability, 0, false);
    assert_int_equal(reliability.bins[0].count, 1);
    assert_int_equal(reliability.bins[RELIABILITY_BINS - 1].count, 1);
}

static void reports_show_calibration_and_changes(void **state)
{
    (void)state;
    static const uint32_t confusion[] = {6, 4, 0, 1, 9, 0, 0, 0, 0};
    static const double before[] = {0.9, 0.5, 0.5};
    struct reliability student = {0}, teacher = {0};
    for (int i = 0; i < 10; i++) {
        reliability_add(&student, 0.95, i < 5);
        reliability_add(&teacher, 0.85, true);
    }
    struct report report = unknown;
    report.classes = class_names;
    report.class_count = 3;
    report.confusion = confusion;
    report.baseline_class_accuracy = before;
    report.baseline_title = "Change per class against ce & <b>, in points";
    report.student_reliability = &student;
    report.teacher_reliability = &teacher;
    check(&report,
          (const char *const[]){"student (calibration error 45.0 %)", "teacher (calibration error 15.0 %)",
                                "student, 0.95: 50.00 %", "against ce &amp; &lt;b&gt;",
                                "bread &amp; butter: -30.00 points", "&lt;b&gt;egg&lt;/b&gt;: +40.00 points", NULL});
    char *html;
    assert_int_equal(report_html(&report, &html, NULL), STATUS_OK);
    assert_null(strstr(html, "soup: +")); /* not measured by this run */
    assert_true(strstr(html, "+40.00 points") < strstr(html, "-30.00 points"));
    free(html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charts_are_files),
        cmocka_unit_test(has_the_numbers),
        cmocka_unit_test(escapes_everything),
        cmocka_unit_test(copes_with_missing_and_odd_numbers),
        cmocka_unit_test(answers_are_the_highest),
        cmocka_unit_test(photos_are_escaped_and_whole),
        cmocka_unit_test(calibration_error_is_the_definition),
        cmocka_unit_test(reports_show_calibration_and_changes),
        cmocka_unit_test(many_classes_and_epochs_stay_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
