/* Progress of long work, on the stream that the program chose (stderr): on a terminal one line that is redrawn,
 * elsewhere a line every 30 s. Call it from one thread.
 *
 *     progress_init(&progress, stderr, quiet || json);
 *     progress_begin(&progress, "train", "images", total, already);
 *     progress_update(&progress, done, "epoch 3/100, loss 0.412");
 *     progress_end(&progress);
 *
 *     train:  42% |########            | 4200/10000 [00:12<00:17, 340 images/s, epoch 3/100, loss 0.412]
 */
#ifndef SHARED_BASE_PROGRESS_H
#define SHARED_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct progress {
    FILE *out; /* borrowed; NULL: quiet */
    bool terminal, color, unicode;
    const char *label, *unit;    /* borrowed */
    size_t done, total, already; /* total 0: unknown. already: done by an earlier run, not counted in the rate */
    double start, drawn;         /* clock_seconds */
    bool active;
    char postfix[160];
};

/* Checks the stream and the environment: a line is redrawn only on a terminal that is not dumb; NO_COLOR turns colours
 * off. */
void progress_init(struct progress *progress, FILE *out, bool quiet);
void progress_begin(struct progress *progress, const char *label, const char *unit, size_t total, size_t already);
/* done counts from 0 and includes `already`. postfix may be NULL: the last one stays. Cheap: it draws at most ten times
 * per second. */
void progress_update(struct progress *progress, size_t done, const char *postfix);
/* A line of its own, above the progress line. */
void progress_note(struct progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shows the last state and the total time. Allowed if nothing has begun. */
void progress_end(struct progress *progress);

/* For library functions that take `bool (*progress)(void *context, size_t done, size_t total)`: context is a struct
 * progress that has begun (total replaces its total). It returns false after SIGINT. */
bool progress_callback(void *context, size_t done, size_t total);

/* The line as it is drawn at time `now`, in at most `width` columns, without colour. */
void progress_format(const struct progress *progress, double now, int width, char *line, size_t size);

#endif
