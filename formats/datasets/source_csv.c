/* A list of images: a CSV file (RFC 4180; also with semicolons or tabs) whose first line names the columns. One is
 * the path of an image below the file's folder, one its label, one may be its split. Without a split column every
 * image is a training image. Samples stay in the order of the lines. Labels are either all whole numbers, which are
 * then the numbers of the classes, or texts, which are numbered in byte order. */
#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/file_calls.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_CSV_BYTES = 1 << 28, MAX_COLUMNS = 64, SNIFFED_BYTES = 4096 };
enum column { COLUMN_PATH, COLUMN_LABEL, COLUMN_SPLIT, COLUMNS };

struct csv {
    char *text, *at; /* fields are cut and unquoted in place */
    char separator;
    size_t line;         /* of the row that was read last, from 1 */
    int places[COLUMNS]; /* of the columns; -1: there is none */
    const char *path;
};

struct row {
    char *path, *label;
    enum split split;
    size_t line;
};

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

/* One field, unquoted in place; false if a quote is not closed. *last: it ends the row. */
static bool next_field(struct csv *csv, char **field, bool *last)
{
    char *to = *field = csv->at;
    bool quoted = *csv->at == '"';
    csv->at += quoted;
    if (quoted)
        *field = to = csv->at;
    for (; *csv->at; csv->at++) {
        if (quoted && csv->at[0] == '"' && csv->at[1] == '"')
            csv->at++;
        else if (quoted && csv->at[0] == '"') {
            quoted = false;
            continue;
        } else if (!quoted && (*csv->at == csv->separator || *csv->at == '\n'))
            break;
        csv->line += *csv->at == '\n';
        *to++ = *csv->at;
    }
    *last = *csv->at != csv->separator;
    if (*csv->at)
        csv->at++;
    if (*last && to > *field && to[-1] == '\r')
        to--;
    *to = '\0';
    return !quoted;
}

/* The fields of the next row; *count is 0 at the end of the file. Empty lines are skipped. */
static enum status next_row(struct csv *csv, char *fields[MAX_COLUMNS], int *count, struct error *err)
{
    bool last = false;
    *count = 0;
    while (*csv->at == '\n' || (csv->at[0] == '\r' && csv->at[1] == '\n')) {
        csv->line += *csv->at == '\n';
        csv->at++;
    }
    if (!*csv->at)
        return STATUS_OK;
    csv->line++;
    while (!last) {
        if (*count == MAX_COLUMNS)
            return error_set(err, STATUS_BAD_DATA, csv->path, "line %zu: more than %d columns", csv->line, MAX_COLUMNS);
        if (!next_field(csv, &fields[(*count)++], &last))
            return error_set(err, STATUS_BAD_DATA, csv->path, "line %zu: a quote is not closed", csv->line);
    }
    return STATUS_OK;
}

/* Reads the first line; false: it does not name a path and a label. */
static bool read_header(struct csv *csv)
{
    static const char *const words[COLUMNS][9] = {
        {"path", "file", "filename", "file_name", "image", "image_path", "filepath", "name"},
        {"label", "class", "class_name", "target", "category"},
        {"split", "set", "subset"}};
    char *fields[MAX_COLUMNS];
    int count;
    csv->at = csv->text + (strncmp(csv->text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0); /* a byte order mark */
    const size_t first = strcspn(csv->at, "\n");
    csv->separator = memchr(csv->at, ',', first) ? ',' : memchr(csv->at, ';', first) ? ';' : '\t';
    csv->line = 0;
    for (int c = 0; c < COLUMNS; c++)
        csv->places[c] = -1;
    if (next_row(csv, fields, &count, NULL) != STATUS_OK)
        return false;
    for (int i = 0; i < count; i++)
        for (int c = 0; c < COLUMNS; c++)
            if (csv->places[c] < 0 && is_word(fields[i], words[c]))
                csv->places[c] = i;
    return csv->places[COLUMN_PATH] >= 0 && csv->places[COLUMN_LABEL] >= 0;
}

static bool is_list(const char *path, struct error *err)
{
    struct csv csv = {.path = path};
    char start[SNIFFED_BYTES] = "";
    if (!file_is_there(path, err)) /* a pipe or a broken link is none, either */
        return false;
    const int file = file_call_open(AT_FDCWD, path, O_RDONLY, 0);
    if (file < 0) {
        file_call_failed(err, STATUS_NO_INPUT, path, "cannot open");
        return false;
    }
    for (size_t size = 0; size < sizeof start - 1;) {
        const ssize_t got = RETRY(read(file, start + size, sizeof start - 1 - size));
        if (got < 0)
            file_call_failed(err, STATUS_IO, path, "cannot read");
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    close(file);
    csv.text = start;
    return read_header(&csv);
}

static bool ends_in_csv(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".csv") == 0 || strcasecmp(dot, ".tsv") == 0);
}

/* The list that --data names: the file itself, or the only list in the folder. malloc'ed; NULL if there is none, or err
 * says what is in the way. */
static char *find_list(const char *path, struct error *err)
{
    struct folder_entry *entries = NULL;
    size_t count = 0, found = 0;
    char *list = NULL;
    if (ends_in_csv(path) && file_is_there(path, err)) {
        list = strdup(path);
        if (!list)
            error_no_memory(err, strlen(path), "a path");
        return list;
    }
    if (folder_list(path, &entries, &count, err) != STATUS_OK)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!ends_in_csv(entries[i].name) || entries[i].is_folder)
            continue;
        char *candidate = path_join(path, entries[i].name);
        if (!candidate)
            error_no_memory(err, strlen(path), "a path");
        if (candidate && is_list(candidate, err) && found++ == 0)
            list = candidate;
        else
            free(candidate);
    }
    folder_list_free(entries, count);
    if (found == 1)
        return list;
    free(list);
    return NULL;
}

static bool csv_recognises(const char *path, struct error *err)
{
    char *list = find_list(path, err);
    free(list);
    return list != NULL;
}

static enum status parse_split(const struct csv *csv, const char *text, enum split *split, struct error *err)
{
    static const char *const words[SPLIT_COUNT][5] = {
        {"train", "training"}, {"val", "valid", "validation"}, {"test", "testing"}};
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (is_word(text, words[s])) {
            *split = (enum split)s;
            return STATUS_OK;
        }
    return error_set(err, STATUS_BAD_DATA, csv->path, "line %zu: the split is '%.80s'; it must be train, val or test",
                     csv->line, text);
}

/* Below the folder: a cache with linked images refuses others. */
static bool is_inside(const char *name)
{
    for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return false;
    return name[0] && name[0] != '/';
}

static enum status read_row(const struct csv *csv, char *fields[MAX_COLUMNS], int count, struct row *row,
                            struct error *err)
{
    enum status status = STATUS_OK;
    for (int c = 0; c < COLUMNS; c++)
        if (csv->places[c] >= count)
            return error_set(err, STATUS_BAD_DATA, csv->path, "line %zu has %d columns, but the first line has more",
                             csv->line, count);
    *row = (struct row){
        .path = fields[csv->places[COLUMN_PATH]], .label = fields[csv->places[COLUMN_LABEL]], .line = csv->line};
    if (csv->places[COLUMN_SPLIT] >= 0)
        TRY(parse_split(csv, fields[csv->places[COLUMN_SPLIT]], &row->split, err));
    while (strncmp(row->path, "./", 2) == 0)
        row->path += 2;
    if (!is_inside(row->path))
        FAIL(error_set(err, STATUS_BAD_DATA, csv->path,
                       "line %zu: '%.200s' must be a path below the folder of this file, without ..", csv->line,
                       row->path));
    if (!row->label[0] && row->split != SPLIT_TEST)
        FAIL(error_set(err, STATUS_BAD_DATA, csv->path, "line %zu: no label; only test images may have none",
                       csv->line));
cleanup:
    return status;
}

static enum status read_rows(struct csv *csv, struct row **rows, size_t *row_count, struct error *err)
{
    enum status status = STATUS_OK;
    size_t capacity = 0;
    char *fields[MAX_COLUMNS];
    int count;
    for (;;) {
        TRY(next_row(csv, fields, &count, err));
        if (count == 0)
            return STATUS_OK;
        TRY(array_grow(rows, sizeof **rows, *row_count, &capacity, "the list of images", err));
        TRY(read_row(csv, fields, count, &(*rows)[*row_count], err));
        (*row_count)++;
    }
cleanup:
    return status;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_paths(const void *a, const void *b)
{
    const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
    const int order = strcmp(x->path, y->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* An image in two splits would be trained on and evaluated on. */
static enum status refuse_doubles(const struct csv *csv, const struct row *rows, size_t count, struct error *err)
{
    const struct row **sorted = malloc((count + 1) * sizeof *sorted);
    enum status status = STATUS_OK;
    if (!sorted)
        return error_no_memory(err, count * sizeof *sorted, "the list of images");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &rows[i];
    qsort(sorted, count, sizeof *sorted, compare_paths);
    for (size_t i = 1; i < count && status == STATUS_OK; i++)
        if (strcmp(sorted[i - 1]->path, sorted[i]->path) == 0)
            status = error_set(err, STATUS_BAD_DATA, csv->path, "line %zu: %.200s stands in line %zu already",
                               sorted[i]->line, sorted[i]->path, sorted[i - 1]->line);
    free(sorted);
    return status;
}

/* ---- classes ---- */

/* A whole number that is a class; -1: no. */
static int class_number(const char *label)
{
    const size_t digits = strspn(label, "0123456789");
    const int number = digits > 0 && digits < 6 && !label[digits] ? atoi(label) : -1;
    return number < SOURCE_MAX_CLASSES ? number : -1;
}

static bool all_numbers(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].label[0] && class_number(rows[i].label) < 0)
            return false;
    return true;
}

/* The distinct labels in byte order, or "0", "1", ... up to the largest number. */
static enum status take_classes(struct image_source *source, const struct row *rows, size_t count, bool numbers,
                                struct error *err)
{
    enum status status = STATUS_OK;
    char **labels = malloc((count + 1) * sizeof *labels);
    size_t used = 0, classes = 0;
    if (!labels)
        return error_no_memory(err, count * sizeof *labels, "class names");
    for (size_t i = 0; i < count; i++)
        if (rows[i].label[0])
            labels[used++] = rows[i].label;
    qsort(labels, used, sizeof *labels, compare_text);
    for (size_t i = 0; i < used; i++) {
        if (numbers)
            classes = (size_t)class_number(labels[i]) >= classes ? (size_t)class_number(labels[i]) + 1 : classes;
        else if (classes == 0 || strcmp(labels[classes - 1], labels[i]) != 0)
            labels[classes++] = labels[i];
    }
    if (classes == 0 || classes > SOURCE_MAX_CLASSES)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "has %zu classes; it must have 1 to %d", classes,
                       SOURCE_MAX_CLASSES));
    const char **names = arena_alloc(&source->arena, classes, sizeof *names);
    for (size_t c = 0; names && c < classes; c++) {
        char *escaped = numbers ? NULL : file_name_escape(labels[c]);
        names[c] = numbers   ? arena_printf(&source->arena, "%zu", c)
                   : escaped ? arena_strdup(&source->arena, escaped)
                             : NULL;
        free(escaped);
        if (!names[c])
            names = NULL;
    }
    if (!names)
        FAIL(error_no_memory(err, classes * sizeof *names, "class names"));
    if (!numbers) /* escapes change the order */
        qsort(names, classes, sizeof *names, compare_text);
    source->classes = names;
    source->class_count = (int)classes;
cleanup:
    free(labels);
    return status;
}

static enum status find_class(const struct image_source *source, const char *label, int *class, struct error *err)
{
    char *escaped = file_name_escape(label);
    if (!escaped)
        return error_no_memory(err, strlen(label), "a class name");
    const char *const key = escaped;
    const char *const *found = bsearch(&key, source->classes, (size_t)source->class_count, sizeof *found, compare_text);
    free(escaped);
    *class = found ? (int)(found - source->classes) : -1;
    return STATUS_OK;
}

static enum status add_rows(struct image_source *source, const struct row *rows, size_t count, bool numbers,
                            struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        int class = -1;
        char *path = path_join(source->path, rows[i].path);
        if (!path)
            return error_no_memory(err, strlen(rows[i].path), "a path");
        enum image_format format;
        status = image_format_of_file(path, &format, err);
        free(path);
        if (status != STATUS_OK)
            return status;
        if (image_format_is_read(format) && format != IMAGE_FORMAT_JPEG)
            source->encoding = IMAGE_FILES;
        if (rows[i].label[0] && numbers)
            class = class_number(rows[i].label);
        else if (rows[i].label[0])
            TRY(find_class(source, rows[i].label, &class, err));
        TRY(source_add(source, rows[i].split, rows[i].path, class, err));
    }
cleanup:
    return status;
}

/* The data folder is the one that the list lies in. */
static enum status enter_folder(struct image_source *source, const char *list, struct error *err)
{
    const char *slash = strrchr(list, '/');
    char *folder = slash ? strndup(list, slash == list ? 1 : (size_t)(slash - list)) : strdup(".");
    if (!folder)
        return error_no_memory(err, strlen(list), "a path");
    free(source->path);
    source->path = folder;
    return STATUS_OK;
}

static enum status csv_open(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    struct error trouble = {.code = STATUS_OK};
    char *list = find_list(source->path, &trouble);
    struct csv csv = {.path = list};
    struct row *rows = NULL;
    size_t size, count = 0;
    source->encoding = IMAGE_JPEG;
    if (trouble.code == STATUS_IO || trouble.code == STATUS_INTERNAL || (!list && trouble.code != STATUS_OK))
        FAIL(error_pass(err, &trouble));
    if (!list)
        FAIL(error_set(err, STATUS_NO_INPUT, source->path, "its list has gone"));
    TRY(enter_folder(source, list, err));
    TRY(file_read(list, MAX_CSV_BYTES, (unsigned char **)&csv.text, &size, err));
    if (memchr(csv.text, 0, size))
        FAIL(error_set(err, STATUS_BAD_DATA, list, "is no text: it has zero bytes"));
    if (!read_header(&csv))
        FAIL(error_set(err, STATUS_BAD_DATA, list,
                       "the first line must name the columns: path,label or path,label,split"));
    TRY(read_rows(&csv, &rows, &count, err));
    TRY(refuse_doubles(&csv, rows, count, err));
    const bool numbers = all_numbers(rows, count);
    TRY(take_classes(source, rows, count, numbers, err));
    TRY(add_rows(source, rows, count, numbers, err));
    TRY(source_note(source, err, "%zu images are listed in %s; labels are %s", count, list,
                    numbers ? "the numbers of the classes" : "texts, numbered in byte order"));
cleanup:
    free(csv.text);
    free(rows);
    free(list);
    return status;
}

const struct image_source_format source_csv = {
    .name = "CSV",
    .recognises = csv_recognises,
    .open = csv_open,
    .read = source_read_file,
};
