#define _GNU_SOURCE
#include "shared/base/progress.h"

#include "shared/base/clock.h"
#include "shared/base/interrupt.h"
#include "shared/base/printable.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_CELLS = 20, LINE_SIZE = 512, DEFAULT_WIDTH = 100 };
static const double redraw_seconds = 0.1, line_seconds = 30;

static bool environment_is(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++)
        if (environment_is(names[i]))
            return strcasestr(getenv(names[i]), "UTF-8") || strcasestr(getenv(names[i]), "UTF8");
    return false;
}

void progress_init(struct progress *progress, FILE *out, bool quiet)
{
    *progress = (struct progress){.out = quiet ? NULL : out};
    if (!progress->out)
        return;
    const char *terminal = getenv("TERM");
    progress->terminal = isatty(fileno(out)) && terminal && strcmp(terminal, "dumb") != 0;
    progress->color = progress->terminal && !environment_is("NO_COLOR");
    progress->unicode = locale_is_utf8();
}

static void format_time(double seconds, char *text, size_t size)
{
    if (!(seconds < 1e7)) {
        snprintf(text, size, "?");
        return;
    }
    long whole = (long)(seconds + 0.5);
    if (whole >= 86400)
        snprintf(text, size, "%ldd %02ld:%02ld", whole / 86400, whole / 3600 % 24, whole / 60 % 60);
    else if (whole >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%02ld:%02ld", whole / 60, whole % 60);
}

/* "340 images/s"; small rates get decimals. */
static void format_rate(double rate, const char *unit, char *text, size_t size)
{
    int decimals = rate >= 100 ? 0 : rate >= 10 ? 1 : 2;
    snprintf(text, size, "%.*f %s/s", decimals, rate, unit);
}

/* Appends to line, but not beyond size. */
static void append(char *line, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *line, size_t size, const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, size - used, format, arguments);
    va_end(arguments);
}

/* Shortens UTF-8 text to a number of columns (one code point counts as one). */
static void cut_columns(char *line, int width)
{
    for (int columns = 0; *line; line++) {
        bool continues = ((unsigned char)*line & 0xC0) == 0x80;
        if (!continues && columns++ == width) {
            *line = 0;
            return;
        }
    }
}

void progress_format(const struct progress *progress, double now, int width, char *line, size_t size)
{
    double elapsed = now - progress->start, worked = (double)progress->done - (double)progress->already;
    double rate = elapsed > 0 ? worked / elapsed : 0;
    char time_text[32], left_text[32] = "?", rate_text[64];
    format_time(elapsed, time_text, sizeof time_text);
    format_rate(rate, progress->unit, rate_text, sizeof rate_text);
    line[0] = 0;
    append(line, size, "%s: ", progress->label);
    if (progress->total > 0) {
        double part = (double)progress->done / (double)progress->total;
        part = part > 1 ? 1 : part;
        if (rate > 0)
            format_time(((double)progress->total - (double)progress->done) / rate, left_text, sizeof left_text);
        append(line, size, "%3d%% ", (int)(100 * part));
        if (width >= 80) {
            append(line, size, "|");
            for (int i = 0; i < BAR_CELLS; i++)
                append(line, size, "%s", i + 0.5 > part * BAR_CELLS ? " " : progress->unicode ? "█" : "#");
            append(line, size, "| ");
        }
        append(line, size, "%zu/%zu [%s<%s, %s", progress->done, progress->total, time_text, left_text, rate_text);
    } else {
        append(line, size, "%zu [%s, %s", progress->done, time_text, rate_text);
    }
    append(line, size, "%s%s]", *progress->postfix ? ", " : "", progress->postfix);
    cut_columns(line, width);
}

static int terminal_width(const struct progress *progress)
{
    struct winsize window;
    if (ioctl(fileno(progress->out), TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
        return window.ws_col - 1;
    return DEFAULT_WIDTH;
}

/* Draws the line with its bar in colour; `final` ends the line. */
static void draw(struct progress *progress, bool final)
{
    char line[LINE_SIZE];
    progress->drawn = clock_seconds();
    if (!progress->terminal) {
        progress_format(progress, progress->drawn, LINE_SIZE, line, sizeof line);
        fprintf(progress->out, "%s\n", line);
        return;
    }
    progress_format(progress, progress->drawn, terminal_width(progress), line, sizeof line);
    char *bar = strchr(line, '|'), *bar_end = bar ? strchr(bar + 1, '|') : NULL;
    if (progress->color && bar_end)
        fprintf(progress->out, "\r%.*s\033[36m%.*s\033[0m%s\033[K", (int)(bar + 1 - line), line,
                (int)(bar_end - bar - 1), bar + 1, bar_end);
    else
        fprintf(progress->out, "\r%s\033[K", line);
    if (final)
        fputc('\n', progress->out);
    fflush(progress->out);
}

void progress_begin(struct progress *progress, const char *label, const char *unit, size_t total, size_t already)
{
    progress->label = label;
    progress->unit = unit;
    progress->total = total;
    progress->done = progress->already = already;
    progress->start = progress->drawn = clock_seconds();
    progress->postfix[0] = 0;
    progress->active = true;
}

void progress_update(struct progress *progress, size_t done, const char *postfix)
{
    progress->done = done;
    if (postfix)
        snprintf(progress->postfix, sizeof progress->postfix, "%s", postfix);
    if (progress->out && clock_seconds() - progress->drawn >= (progress->terminal ? redraw_seconds : line_seconds))
        draw(progress, false);
}

void progress_note(struct progress *progress, const char *format, ...)
{
    if (!progress->out)
        return;
    if (progress->terminal && progress->active)
        fputs("\r\033[K", progress->out);
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printable_print(progress->out, text); /* it may name files and classes */
    fputc('\n', progress->out);
    if (progress->terminal && progress->active)
        draw(progress, false);
}

void progress_end(struct progress *progress)
{
    if (progress->out && progress->active)
        draw(progress, true);
    progress->active = false;
}

bool progress_callback(void *context, size_t done, size_t total)
{
    struct progress *progress = context;
    progress->total = total;
    progress_update(progress, done, NULL);
    return !interrupt_requested();
}
