#define _POSIX_C_SOURCE 200809L
#include "formats/report/run_log.h"

#include "formats/json.h"
#include "formats/report/confusion_picture.h"
#include "formats/report/tensorboard.h"
#include "shared/base/file_calls.h"
#include "shared/base/files.h"
#include "shared/base/memory.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FIXED_COLUMNS = 7, LINE_SIZE = 4096, NAME_SIZE = 64, SUMMARY_LIMIT = 256 << 20 };
enum { MAX_HPARAMS = 128, MAX_PICTURE_CLASSES = 1000 };

struct run_log {
    char *summary_path, *events_path;
    int summary, events; /* file descriptors */
    struct tensorboard_writer *tensorboard;
    char terms[RUN_MAX_TERMS][NAME_SIZE];
    int term_count;
    struct run_epoch *epochs; /* [epoch_count] */
    int epoch_count;
    size_t capacity;
};

static enum status write_text(int file, const char *path, const char *text, struct error *err)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t written = RETRY(write(file, text, size));
        if (written < 0)
            return file_call_failed(err, STATUS_IO, path, "cannot write");
        text += written;
        size -= (size_t)written;
    }
    return STATUS_OK;
}

/* A link is not followed: a run's folder may come from somebody else. */
static int open_to_append(const char *path, int flags)
{
    return file_call_open(AT_FDCWD, path, flags | O_CREAT | O_APPEND | O_NOFOLLOW, 0666);
}

/* ---- summary.csv ---- */

/* The columns behind the epoch: timm's first, in timm's order, then ours, then a term each; returns how many. */
static int row_values(const struct run_log *log, struct run_epoch *epoch, double *values[FIXED_COLUMNS + RUN_MAX_TERMS])
{
    int count = 0;
    values[count++] = &epoch->train_loss;
    values[count++] = &epoch->val_loss;
    values[count++] = &epoch->val_accuracy;
    values[count++] = &epoch->learning_rate;
    values[count++] = &epoch->train_accuracy;
    values[count++] = &epoch->agreement;
    for (int i = 0; i < log->term_count; i++)
        values[count++] = &epoch->terms[i];
    return count;
}

static double unit_of(int column)
{
    return column == 2 || column == 4 || column == 5 ? 100 : 1; /* accuracies and agreement are in percent */
}

static void format_header(const struct run_log *log, char line[LINE_SIZE])
{
    int used =
        snprintf(line, LINE_SIZE, "epoch,train_loss,eval_loss," SUMMARY_ACCURACY ",lr,train_top1," SUMMARY_AGREEMENT);
    for (int i = 0; i < log->term_count; i++)
        used += snprintf(line + used, (size_t)(LINE_SIZE - used), ",loss_%s", log->terms[i]);
    snprintf(line + used, (size_t)(LINE_SIZE - used), "\n");
}

static void format_row(const struct run_log *log, struct run_epoch *epoch, char line[LINE_SIZE])
{
    double *values[FIXED_COLUMNS + RUN_MAX_TERMS];
    int count = row_values(log, epoch, values), used = snprintf(line, LINE_SIZE, "%d", epoch->epoch);
    for (int i = 0; i < count; i++)
        used += snprintf(line + used, (size_t)(LINE_SIZE - used), isnan(*values[i]) ? "," : ",%.9g",
                         unit_of(i) * *values[i]);
    snprintf(line + used, (size_t)(LINE_SIZE - used), "\n");
}

/* Reads one number that ends at a comma or line feed, or nothing (NAN). Returns NULL if it is something else. */
static const char *parse_value(const char *text, double *value)
{
    char *end;
    *value = NAN;
    if (*text == ',' || *text == '\n')
        return text;
    if (isspace((unsigned char)*text))
        return NULL;
    *value = strtod(text, &end);
    return end > text && (*end == ',' || *end == '\n') ? end : NULL;
}

/* Reads one row that ends in a line feed; false if it is not the row of this epoch. */
static bool parse_row(const struct run_log *log, const char *text, int expected, struct run_epoch *epoch)
{
    double *values[FIXED_COLUMNS + RUN_MAX_TERMS], number;
    int count = row_values(log, epoch, values);
    text = parse_value(text, &number);
    for (int i = 0; i < count && text; i++) {
        text = *text == ',' ? parse_value(text + 1, values[i]) : NULL;
        *values[i] /= unit_of(i);
    }
    epoch->epoch = expected;
    epoch->images_per_second = epoch->seconds = NAN;
    return text && *text == '\n' && number == expected;
}

static enum status keep_epoch(struct run_log *log, const struct run_epoch *epoch, struct error *err)
{
    enum status status = array_grow(&log->epochs, sizeof *log->epochs, (size_t)log->epoch_count, &log->capacity,
                                    "the epochs of the run", err);
    if (status != STATUS_OK)
        return status;
    log->epochs[log->epoch_count++] = *epoch;
    return STATUS_OK;
}

/* Reads the rows of epochs 1 .. last and sets *kept to the length of the file up to there. A row that a crash cut
 * short has no line feed and is not read. */
static enum status read_rows(struct run_log *log, const char *text, int last, size_t *kept, struct error *err)
{
    enum status status = STATUS_OK;
    char header[LINE_SIZE];
    format_header(log, header);
    size_t header_size = strlen(header);
    if (strncmp(text, header, header_size) != 0)
        return error_set(
            err, STATUS_CONFIG, log->summary_path,
            "its columns are not those of this run (another loss, or an older version?): start in a new folder");
    const char *at = text + header_size;
    for (int epoch = 1; epoch <= last; epoch++) {
        struct run_epoch row = {0};
        const char *line_end = strchr(at, '\n');
        if (!line_end || !parse_row(log, at, epoch, &row))
            return error_set(err, STATUS_BAD_DATA, log->summary_path,
                             "line %d is not epoch %d of the run; resume from an earlier checkpoint or start again",
                             epoch + 1, epoch);
        TRY(keep_epoch(log, &row, err));
        at = line_end + 1;
    }
    *kept = (size_t)(at - text);
cleanup:
    return status;
}

static enum status open_summary(struct run_log *log, int first_epoch, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *text = NULL;
    size_t size = 0, kept = 0;
    char header[LINE_SIZE];
    if (first_epoch > 1) {
        TRY(file_read(log->summary_path, SUMMARY_LIMIT, &text, &size, err));
        TRY(read_rows(log, (const char *)text, first_epoch - 1, &kept, err));
    }
    log->summary = open_to_append(log->summary_path, O_WRONLY);
    if (log->summary < 0)
        FAIL(file_call_failed(err, STATUS_CANT_CREATE, log->summary_path, "cannot open for writing"));
    if (RETRY(ftruncate(log->summary, (off_t)kept)) != 0)
        FAIL(file_call_failed(err, STATUS_IO, log->summary_path, "cannot truncate"));
    format_header(log, header);
    if (first_epoch <= 1)
        TRY(write_text(log->summary, log->summary_path, header, err));
cleanup:
    free(text);
    return status;
}

/* ---- log.jsonl ---- */

/* Opens the file to append (or empties it), and ends a line that a crash cut short. */
static enum status open_events(struct run_log *log, bool start_again, struct error *err)
{
    char last = '\n';
    log->events = open_to_append(log->events_path, O_RDWR | (start_again ? O_TRUNC : 0));
    if (log->events < 0)
        return file_call_failed(err, STATUS_CANT_CREATE, log->events_path, "cannot open for writing");
    off_t size = RETRY(lseek(log->events, 0, SEEK_END));
    if (size < 0 || (size > 0 && RETRY(pread(log->events, &last, 1, size - 1)) != 1))
        return file_call_failed(err, STATUS_IO, log->events_path, "cannot read");
    return last == '\n' ? STATUS_OK : write_text(log->events, log->events_path, "\n", err);
}

static bool add_time(cJSON *object)
{
    char text[32];
    struct tm parts;
    time_t now = time(NULL);
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return cJSON_AddStringToObject(object, "time", text) != NULL;
}

enum status run_log_event(struct run_log *log, const char *event, const struct run_field *fields, int count,
                          struct error *err)
{
    enum status status = STATUS_OK;
    char *text = NULL;
    cJSON *object = cJSON_CreateObject();
    bool ok = object && cJSON_AddStringToObject(object, "event", event) && add_time(object);
    for (int i = 0; i < count && ok; i++)
        ok = fields[i].text ? cJSON_AddStringToObject(object, fields[i].name, fields[i].text) != NULL
                            : cJSON_AddNumberToObject(object, fields[i].name, fields[i].number) != NULL;
    text = json_text(object, true);
    if (!ok || !text)
        FAIL(error_no_memory(err, 0, "log.jsonl"));
    TRY(write_text(log->events, log->events_path, text, err));
    TRY(write_text(log->events, log->events_path, "\n", err));
cleanup:
    cJSON_free(text);
    return status;
}

static enum status log_epoch_event(struct run_log *log, const struct run_epoch *epoch, struct error *err)
{
    struct run_field fields[FIXED_COLUMNS + 2 + RUN_MAX_TERMS];
    char names[RUN_MAX_TERMS][NAME_SIZE + 8];
    int count = 0;
    fields[count++] = (struct run_field){"epoch", NULL, epoch->epoch};
    fields[count++] = (struct run_field){"learning_rate", NULL, epoch->learning_rate};
    fields[count++] = (struct run_field){"train_loss", NULL, epoch->train_loss};
    for (int i = 0; i < log->term_count; i++) {
        snprintf(names[i], sizeof names[i], "loss_%s", log->terms[i]);
        fields[count++] = (struct run_field){names[i], NULL, epoch->terms[i]};
    }
    fields[count++] = (struct run_field){"train_accuracy", NULL, epoch->train_accuracy};
    fields[count++] = (struct run_field){"val_loss", NULL, epoch->val_loss};
    fields[count++] = (struct run_field){"val_accuracy", NULL, epoch->val_accuracy};
    fields[count++] = (struct run_field){"agreement", NULL, epoch->agreement};
    fields[count++] = (struct run_field){"images_per_second", NULL, epoch->images_per_second};
    fields[count++] = (struct run_field){"seconds", NULL, epoch->seconds};
    return run_log_event(log, "epoch", fields, count, err);
}

/* ---- TensorBoard ---- */

static enum status log_epoch_scalars(struct run_log *log, const struct run_epoch *epoch, struct error *err)
{
    struct tensorboard_scalar scalars[FIXED_COLUMNS + RUN_MAX_TERMS];
    char tags[RUN_MAX_TERMS][NAME_SIZE + 8];
    int count = 0;
    scalars[count++] = (struct tensorboard_scalar){"learning_rate", (float)epoch->learning_rate};
    scalars[count++] = (struct tensorboard_scalar){"loss/train", (float)epoch->train_loss};
    scalars[count++] = (struct tensorboard_scalar){"loss/val", (float)epoch->val_loss};
    scalars[count++] = (struct tensorboard_scalar){"accuracy/train", (float)epoch->train_accuracy};
    scalars[count++] = (struct tensorboard_scalar){"accuracy/val", (float)epoch->val_accuracy};
    scalars[count++] = (struct tensorboard_scalar){"accuracy/agreement", (float)epoch->agreement};
    scalars[count++] = (struct tensorboard_scalar){"images_per_second", (float)epoch->images_per_second};
    for (int i = 0; i < log->term_count; i++) {
        snprintf(tags[i], sizeof tags[i], "terms/%s", log->terms[i]);
        scalars[count++] = (struct tensorboard_scalar){tags[i], (float)epoch->terms[i]};
    }
    return tensorboard_write(log->tensorboard, epoch->epoch, scalars, count, err);
}

static bool is_number(const char *text, double *number)
{
    char *end;
    *number = strtod(text, &end);
    return end > text && *end == 0 && isfinite(*number);
}

enum status run_log_hparams(struct run_log *log, const char *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct tensorboard_hparam hparams[MAX_HPARAMS];
    int count = 0;
    char *copy = strdup(options);
    if (!copy)
        return error_no_memory(err, strlen(options), "hyperparameters");
    for (char *line = copy, *next; line && count < MAX_HPARAMS; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *value = strstr(line, " = ");
        if (!value)
            continue;
        *value = 0;
        value += 3;
        double number;
        const bool numeric = is_number(value, &number);
        hparams[count++] = (struct tensorboard_hparam){line, numeric ? NULL : value, number};
    }
    status = tensorboard_write_hparams(log->tensorboard, hparams, count, (double)time(NULL), err);
    free(copy);
    return status;
}

enum status run_log_success(struct run_log *log, const uint32_t *confusion, int classes, struct error *err)
{
    enum status status = STATUS_OK;
    struct image picture = {0};
    if (confusion && classes <= MAX_PICTURE_CLASSES) {
        TRY(confusion_picture(confusion, classes, &picture, err));
        TRY(tensorboard_write_picture(log->tensorboard, log->epoch_count, "confusion", &picture, err));
    }
    TRY(tensorboard_write_success(log->tensorboard, (double)time(NULL), err));
cleanup:
    image_release(&picture);
    return status;
}

/* ---- the log ---- */

/* Names become part of a CSV header: commas, quotes and line ends would break it. */
static void copy_term(char out[NAME_SIZE], const char *name)
{
    snprintf(out, NAME_SIZE, "%s", name);
    for (char *at = out; *at; at++)
        if (strchr(",\"\r\n", *at))
            *at = ';';
}

enum status run_log_open(struct run_log **out, const char *folder, const char *const *terms, int term_count,
                         int first_epoch, struct error *err)
{
    enum status status = STATUS_OK;
    *out = NULL;
    if (term_count > RUN_MAX_TERMS)
        return error_set(err, STATUS_USAGE, NULL, "the loss has %d terms; at most %d are allowed", term_count,
                         RUN_MAX_TERMS);
    struct run_log *log = calloc(1, sizeof *log);
    if (!log)
        return error_no_memory(err, sizeof *log, "the run log");
    log->summary = log->events = -1;
    log->term_count = term_count;
    for (int i = 0; i < term_count; i++)
        copy_term(log->terms[i], terms[i]);
    log->summary_path = path_join(folder, "summary.csv");
    log->events_path = path_join(folder, "log.jsonl");
    if (!log->summary_path || !log->events_path)
        FAIL(error_no_memory(err, 0, "the run log"));
    TRY(open_summary(log, first_epoch, err));
    TRY(open_events(log, first_epoch <= 1, err));
    TRY(tensorboard_open(&log->tensorboard, folder, first_epoch, err));
    *out = log;
    log = NULL;
cleanup:
    run_log_close(log);
    return status;
}

void run_log_close(struct run_log *log)
{
    if (!log)
        return;
    if (log->summary >= 0)
        close(log->summary);
    if (log->events >= 0)
        close(log->events);
    tensorboard_close(log->tensorboard);
    free(log->summary_path);
    free(log->events_path);
    free(log->epochs);
    free(log);
}

enum status run_log_epoch(struct run_log *log, const struct run_epoch *epoch, struct error *err)
{
    enum status status = STATUS_OK;
    char line[LINE_SIZE];
    TRY(keep_epoch(log, epoch, err));
    format_row(log, &log->epochs[log->epoch_count - 1], line);
    TRY(write_text(log->summary, log->summary_path, line, err));
    TRY(log_epoch_event(log, epoch, err));
    TRY(log_epoch_scalars(log, epoch, err));
cleanup:
    return status;
}

enum status run_log_sync(struct run_log *log, struct error *err)
{
    if (RETRY(fsync(log->summary)) != 0)
        return file_call_failed(err, STATUS_IO, log->summary_path, "cannot write to the disk");
    return STATUS_OK;
}

const struct run_epoch *run_log_epochs(const struct run_log *log, int *count)
{
    *count = log->epoch_count;
    return log->epochs;
}
