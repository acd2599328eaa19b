#include "student_train/quantise/quantised_student.h"

#include <math.h>

void quantised_bytes(const struct lowered *lowered, size_t *floats, size_t *integers)
{
    *floats = *integers = 0;
    for (int s = 0; s < lowered->step_count; s++) {
        const struct window *w = &lowered->steps[s].window;
        if (!lowered->steps[s].weight)
            continue;
        const size_t out = (size_t)w->out_c,
                     weights = out * (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)(w->in_c / w->groups);
        *floats += (weights + out) * sizeof(float);
        *integers += weights + out * sizeof(int32_t);
    }
}

const char *quantised_ranges_name(const struct quantised_candidate *candidate)
{
    return candidate->trained ? "trained" : range_method_name(candidate->method);
}

static void print_percent(double share, int width, FILE *out)
{
    if (isnan(share))
        fprintf(out, "%*s", width, "-");
    else
        fprintf(out, "%*.2f", width, 100 * share);
}

static void print_row(const char *name, const struct quantised_score *score, size_t bytes, FILE *out)
{
    fprintf(out, "%-10s", name);
    print_percent(score->accuracy, 10, out);
    print_percent(score->agreement, 14, out);
    fprintf(out, "%12zu\n", bytes);
}

void quantised_student_print(const struct quantised_student *student, FILE *out)
{
    size_t floats, integers;
    quantised_bytes(&student->lowered, &floats, &integers);
    const struct quantised_candidate *chosen = &student->candidates[student->chosen];
    fprintf(out, "%-10s%10s%14s%12s     %zu %s images that chose nothing\n", "", "accuracy", "as fp32", "bytes",
            student->float_score.pictures, split_name(student->split));
    print_row("fp32", &student->float_score, floats, out);
    print_row("int8", &student->int8_score, integers, out);
    fprintf(out, "\nranges from %zu pictures that calibrate%s, chosen on %zu images: %s%s\n",
            student->calibration_pictures, student->candidates[0].trained ? ", or of training" : "",
            chosen->choosing.pictures, quantised_ranges_name(chosen), chosen->equalised ? ", equalised" : "");
    for (int i = 0; i < student->candidate_count; i++) {
        const struct quantised_candidate *c = &student->candidates[i];
        fprintf(out, "  %-11s%-11s", quantised_ranges_name(c), c->equalised ? "equalised" : "");
        print_percent(c->choosing.accuracy, 8, out);
        print_percent(c->choosing.agreement, 9, out);
        fprintf(out, "   logits' error %.5f\n", c->choosing.error);
    }
}

static cJSON *share_or_null(double share)
{
    return isnan(share) ? cJSON_CreateNull() : cJSON_CreateNumber(share);
}

static void add_score(cJSON *object, const struct quantised_score *score)
{
    json_add(object, "accuracy", share_or_null(score->accuracy));
    json_add(object, "as_fp32", share_or_null(score->agreement));
}

void quantised_student_json(const struct quantised_student *student, cJSON *object)
{
    size_t bytes[2];
    const struct quantised_score *scores[2] = {&student->float_score, &student->int8_score};
    const struct quantised_candidate *chosen = &student->candidates[student->chosen];
    quantised_bytes(&student->lowered, &bytes[0], &bytes[1]);
    cJSON_AddStringToObject(object, "split", split_name(student->split));
    cJSON_AddNumberToObject(object, "samples", (double)student->float_score.pictures);
    for (int i = 0; i < 2; i++) {
        cJSON *item = cJSON_AddObjectToObject(object, i ? "int8" : "fp32");
        add_score(item, scores[i]);
        cJSON_AddNumberToObject(item, "bytes", (double)bytes[i]);
    }
    cJSON_AddStringToObject(object, "ranges", quantised_ranges_name(chosen));
    cJSON_AddBoolToObject(object, "equalised", chosen->equalised);
    cJSON_AddNumberToObject(object, "calibration_samples", (double)student->calibration_pictures);
}
