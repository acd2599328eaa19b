/* Distillation: T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); lskd: of logits
 * standardised row by row. */
#include "shared/training/losses/logit_row.h"

/* Student and teacher of one row. */
struct kd_row {
    struct row_scores student, teacher;
    struct row_standard standard; /* of the student */
    struct log_softmax q, p;
    double mean_q; /* FORM_PRINTED: the sum of p * q */
};

static struct kd_row kd_row_of(const struct cpu_loss_args *args, int row)
{
    const double temperature = args->term->temperature;
    struct kd_row r = {.student = logits_of_row(args, args->logits, row),
                       .teacher = logits_of_row(args, args->teacher_logits, row)};
    const struct row_standard teacher = row_standard_of(&r.teacher, args->term->standardise);
    r.standard = row_standard_of(&r.student, args->term->standardise);
    r.q = log_softmax_of(&r.student, -1, 1 / (temperature * r.standard.deviation));
    r.p = log_softmax_of(&r.teacher, -1, 1 / (temperature * teacher.deviation));
    for (int k = 0; args->term->form == FORM_PRINTED && k < args->classes; k++)
        r.mean_q += exp(log_probability(&r.p, r.teacher.z[k])) * exp(log_probability(&r.q, r.student.z[k]));
    return r;
}

static double row_value(const struct kd_row *row, enum loss_form form)
{
    double value = 0;
    for (int k = 0; k < row->student.classes; k++)
        value +=
            kd_part(form, log_probability(&row->p, row->teacher.z[k]), log_probability(&row->q, row->student.z[k]));
    return value;
}

/* T^2 * the derivative of the row's value by the (standardised) student's logit k. */
static double row_derivative(const struct kd_row *row, const struct loss_term *term, int k)
{
    const double log_p = log_probability(&row->p, row->teacher.z[k]);
    const double log_q = log_probability(&row->q, row->student.z[k]);
    return term->temperature * kd_derivative(term->form, log_p, log_q, row->mean_q);
}

static double kd(const struct cpu_loss_args *args)
{
    const struct loss_term *term = args->term;
    const double share = term->reduction == REDUCTION_MEAN ? 1.0 / args->count / args->classes : 1.0 / args->count;
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        if (row_left_out(args, i))
            continue;
        const struct kd_row row = kd_row_of(args, i);
        const float *z = row.student.z;
        double pull = 0;
        sum += row_value(&row, term->form);
        if (!args->gradient)
            continue;
        float *gradient = args->gradient + (size_t)i * (size_t)args->classes;
        for (int k = 0; term->standardise && k < args->classes; k++)
            pull += row_derivative(&row, term, k) * (z[k] - row.standard.mean);
        for (int k = 0; k < args->classes; k++) {
            const double derivative = derivative_through(&row.standard, row_derivative(&row, term, k), pull, z[k]);
            gradient[k] += (float)(args->weight * share * derivative);
        }
    }
    return term->temperature * term->temperature * sum * share;
}

const struct cpu_loss cpu_kd = {LOSS_KD, kd, NULL};
