/* What all charts share: escaped and shortened texts, and the frame with title and legend. */
#include "formats/report/svg_chart.h"

#include <string.h>

void html_escape(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 && *text != '\n' && *text != '\t' ? ' ' : *text, out);
        }
    }
}

static bool continues_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

static int characters(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += !continues_character(*text);
    return count;
}

int chart_longest(const char *const *labels, int count, int limit)
{
    int longest = 1;
    for (int i = 0; i < count; i++) {
        int length = characters(labels[i]);
        longest = length > longest ? length : longest;
    }
    return longest < limit ? longest : limit;
}

void chart_label(FILE *out, const char *text, int limit)
{
    char cut[256];
    size_t used = 0;
    if (characters(text) <= limit) {
        html_escape(out, text);
        return;
    }
    for (int count = 0; text[used] && used + 1 < sizeof cut; used++) {
        if (!continues_character(text[used]) && ++count == limit)
            break;
        cut[used] = text[used];
    }
    cut[used] = 0;
    html_escape(out, cut);
    fputs("…", out);
}

void chart_open(FILE *out, const char *title, const struct chart_legend_entry *entries, int count)
{
    fputs("<figure class=\"chart\"><figcaption><h3>", out);
    html_escape(out, title);
    fputs("</h3><span class=\"legend\">", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "<span><i class=\"c%d%s\"", entries[i].color % CHART_COLORS, entries[i].dashed ? " dashed" : "");
        if (entries[i].hue > 0)
            fprintf(out, " style=\"color:hsl(%d 75%% 50%%)\"", entries[i].hue);
        fputs("></i>", out);
        html_escape(out, entries[i].name);
        fputs("</span>", out);
    }
    fputs("</span></figcaption>\n", out);
}

void chart_close(FILE *out)
{
    fputs("</figure>\n", out);
}
