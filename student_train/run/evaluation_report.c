#include "student_train/run/evaluation_report.h"

#include "formats/json.h"
#include <math.h>
#include <string.h>

enum { WIDEST_CONFUSION = 20 };

/* An accuracy of student and teacher: of all samples, or of one class. NAN: not measured. */
struct row {
    const char *name;
    double student, teacher;
};

static struct row total_row(const struct evaluation *e)
{
    return (struct row){"accuracy", e->accuracy, e->teacher_accuracy};
}

static struct row class_row(const struct evaluation *e, const char *const *names, size_t k)
{
    return (struct row){names[k], e->class_accuracy[k], e->teacher_class_accuracy[k]};
}

cJSON *json_number_or_null(double number)
{
    return isfinite(number) ? cJSON_CreateNumber(number) : cJSON_CreateNull();
}

static void add_row(cJSON *object, const struct row *row)
{
    json_add(object, "accuracy", json_number_or_null(row->student));
    json_add(object, "teacher_accuracy", json_number_or_null(row->teacher));
}

void evaluation_json(const struct evaluation *evaluation, const char *const *names, cJSON *object)
{
    const size_t classes = (size_t)evaluation->classes;
    const struct row total = total_row(evaluation);
    cJSON_AddStringToObject(object, "split", split_name(evaluation->split));
    if (evaluation->part != PART_ALL)
        cJSON_AddStringToObject(object, "part", evaluation->part == PART_EVEN ? "even" : "odd");
    cJSON_AddNumberToObject(object, "samples", evaluation->samples);
    cJSON_AddNumberToObject(object, "labelled", evaluation->labelled);
    json_add(object, "loss", json_number_or_null(evaluation->loss));
    add_row(object, &total);
    json_add(object, "agreement", json_number_or_null(evaluation->agreement));
    json_add(object, "calibration_error", json_number_or_null(reliability_error(&evaluation->opinions.student)));
    json_add(object, "teacher_calibration_error",
             json_number_or_null(reliability_error(&evaluation->opinions.teacher)));
    if (evaluation->mirrored) {
        cJSON *hflip = cJSON_AddObjectToObject(cJSON_AddObjectToObject(object, "tta"), "hflip");
        json_add(hflip, "accuracy", json_number_or_null(evaluation->mirrored_accuracy));
        json_add(hflip, "agreement", json_number_or_null(evaluation->mirrored_agreement));
        cJSON_AddNumberToObject(hflip, "changed", (double)evaluation->mirrored_changed);
    }
    cJSON *list = cJSON_AddArrayToObject(object, "per_class"), *confusion = cJSON_AddArrayToObject(object, "confusion");
    for (size_t k = 0; k < classes; k++) {
        const struct row row = class_row(evaluation, names, k);
        cJSON *item = cJSON_CreateObject(), *counts = cJSON_CreateArray();
        cJSON_AddStringToObject(item, "class", row.name);
        add_row(item, &row);
        json_append(list, item);
        for (size_t j = 0; j < classes; j++)
            json_append(counts, cJSON_CreateNumber(evaluation->confusion[k * classes + j]));
        json_append(confusion, counts);
    }
}

static void print_percent(double value, FILE *out)
{
    if (isfinite(value))
        fprintf(out, "%8.2f %%", 100 * value);
    else
        fprintf(out, "         -");
}

static void print_row(const struct row *row, const char *indent, FILE *out)
{
    const int width = 28 - (int)strlen(indent);
    fprintf(out, "%s%-*.*s ", indent, width, width, row->name);
    print_percent(row->student, out);
    fprintf(out, " ");
    print_percent(row->teacher, out);
    fprintf(out, "\n");
}

static void print_confusion(const struct evaluation *evaluation, const char *const *names, FILE *out)
{
    const size_t classes = (size_t)evaluation->classes;
    fprintf(out, "\nconfusion (row: true class, column: predicted)\n");
    for (size_t k = 0; k < classes; k++) {
        fprintf(out, "  %-16.16s", names[k]);
        for (size_t j = 0; j < classes; j++)
            fprintf(out, " %5u", evaluation->confusion[k * classes + j]);
        fprintf(out, "\n");
    }
}

void evaluation_print(const struct evaluation *evaluation, const char *const *names, FILE *out)
{
    const struct row total = total_row(evaluation);
    fprintf(out, "%s: %u samples, %u labelled", split_name(evaluation->split), evaluation->samples,
            evaluation->labelled);
    if (isfinite(evaluation->loss))
        fprintf(out, ", loss %.4f", evaluation->loss);
    fputs("\n", out);
    fprintf(out, "%-28s %10s %10s\n", "", "student", "teacher");
    print_row(&total, "", out);
    fprintf(out, "%-28s ", "agreement with the teacher");
    print_percent(evaluation->agreement, out);
    fprintf(out, "\n");
    if (evaluation->mirrored) {
        const struct row mirrored = {"accuracy with --tta hflip", evaluation->mirrored_accuracy, NAN};
        print_row(&mirrored, "", out);
        fprintf(out, "%-28s ", "agreement with --tta hflip");
        print_percent(evaluation->mirrored_agreement, out);
        fprintf(out, "\n");
    }
    for (int k = 0; evaluation->labelled && k < evaluation->classes; k++) {
        const struct row row = class_row(evaluation, names, (size_t)k);
        print_row(&row, "  ", out);
    }
    if (evaluation->labelled && evaluation->classes <= WIDEST_CONFUSION)
        print_confusion(evaluation, names, out);
}
