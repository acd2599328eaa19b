#include "formats/report/html_page.h"

#include "formats/image/jpeg.h"
#include "formats/report/svg_chart.h"
#include <stdlib.h>

enum { QUALITY = 88, CAPTION_LIMIT = 60, CLASS_LIMIT = 28 };

void html_page_begin(FILE *out, const char *title, const char *subtitle)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    html_escape(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", chart_style());
    html_escape(out, title);
    fputs("</h1>\n<p class=\"subtitle\">", out);
    html_escape(out, subtitle);
    fputs("</p>\n", out);
}

void html_page_end(FILE *out)
{
    fprintf(out, "<footer>softcache %s</footer>\n</main>\n</body>\n</html>\n", SOFTCACHE_VERSION);
}

void html_tile_open(FILE *out, const char *name, bool main)
{
    fprintf(out, "<div class=\"tile%s\"><span>%s</span><b>", main ? " main" : "", name);
}

void html_tile_remark(FILE *out)
{
    fputs("</b><small>", out);
}

void html_tile_close(FILE *out)
{
    fputs("</small></div>\n", out);
}

void html_thousands(FILE *out, uint64_t number)
{
    if (number >= 1000) {
        html_thousands(out, number / 1000);
        fprintf(out, ",%03u", (unsigned)(number % 1000));
    } else {
        fprintf(out, "%u", (unsigned)number);
    }
}

/* Base64 (RFC 4648, section 4). */
static void write_base64(FILE *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                               (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        fputc(digits[group >> 18], out);
        fputc(digits[group >> 12 & 63], out);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', out);
        fputc(left > 2 ? digits[group & 63] : '=', out);
    }
}

enum status html_picture(FILE *out, const struct image *image, const char *text, struct error *err)
{
    uint8_t *bytes;
    size_t size;
    enum status status = jpeg_encode(image, QUALITY, &bytes, &size, err);
    if (status != STATUS_OK)
        return status;
    fputs("<img alt=\"", out);
    html_escape(out, text);
    fputs("\" src=\"data:image/jpeg;base64,", out);
    write_base64(out, bytes, size);
    fputs("\"/>", out);
    free(bytes);
    return STATUS_OK;
}

struct photo_answer photo_answer_of(const char *who, const double *probabilities, int classes)
{
    struct photo_answer answer = {.who = who};
    for (int c = 0; c < classes; c++) {
        int at = answer.count;
        while (at > 0 && answer.probabilities[at - 1] < probabilities[c])
            at--;
        if (at == ANSWER_CLASSES)
            continue;
        answer.count += answer.count < ANSWER_CLASSES;
        for (int i = answer.count - 1; i > at; i--) {
            answer.classes[i] = answer.classes[i - 1];
            answer.probabilities[i] = answer.probabilities[i - 1];
        }
        answer.classes[at] = c;
        answer.probabilities[at] = probabilities[c];
    }
    return answer;
}

/* A line for each class: its share as a bar behind the name. The true class has a mark, not only a colour. */
static void write_answer(FILE *out, const struct photo_answer *answer, int label, const char *const *classes)
{
    if (answer->who) {
        fputs("<span class=\"who\">", out);
        html_escape(out, answer->who);
        fputs("</span>", out);
    }
    for (int i = 0; i < answer->count; i++) {
        const bool right = answer->classes[i] == label;
        fprintf(out, "<span class=\"answer%s\" style=\"--share:%.1f%%\" title=\"", right ? " right" : "",
                100 * answer->probabilities[i]);
        html_escape(out, classes[answer->classes[i]]);
        fprintf(out, "\"><span>%s", right ? "✓ " : "");
        chart_label(out, classes[answer->classes[i]], CLASS_LIMIT);
        fprintf(out, "</span><i>%.*f %%</i></span>", answer->probabilities[i] < 0.9995, 100 * answer->probabilities[i]);
    }
}

enum status html_photo(FILE *out, const struct photo_card *card, const char *const *classes, struct error *err)
{
    fputs("<figure class=\"photo\">", out);
    const enum status status = html_picture(out, card->image, card->title ? card->title : "", err);
    fputs("<figcaption>", out);
    if (card->title) {
        fputs("<b>", out);
        chart_label(out, card->title, CAPTION_LIMIT);
        fputs("</b>", out);
    }
    if (card->label >= 0 && card->label_shown) {
        fputs("<small>true class: ", out);
        chart_label(out, classes[card->label], CLASS_LIMIT);
        fputs("</small>", out);
    }
    if (card->note) {
        fputs("<small>", out);
        html_escape(out, card->note);
        fputs("</small>", out);
    }
    for (int i = 0; i < card->answer_count; i++)
        write_answer(out, &card->answers[i], card->label, classes);
    fputs("</figcaption></figure>\n", out);
    return status;
}
