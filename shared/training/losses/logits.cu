/* Terms on rows of logits, and their gradients: one launch a term, for all students.
 *
 * Idea: a warp a row, some passes over the row (its largest value, the normaliser, the value, the gradient), of which
 * all but the first find it in the first-level cache; gradients are added to, so that terms can follow one another.
 * Bytes moved: logits (and teacher's logits) once, the gradient once in and once out, which is the floor; at 128 rows
 * of 11 classes that is 22 kB, and the launch is all that is felt. */
#include "shared/training/losses/logits.h"
#include "shared/training/losses/logit_row.cuh"

/* The terms' own parameters, for each student; made on the host, where divisions in double cost nothing. */
struct cross_entropy {
    double at_label[TRAINING_MAX_STUDENTS]; /* the target: 1 - smoothing there, and everywhere smoothing / classes */
    double everywhere[TRAINING_MAX_STUDENTS];
};
struct distillation {
    struct {
        double temperature, share; /* of a row in the mean */
        int standardise, form;
    } of[TRAINING_MAX_STUDENTS];
};

/* What cross entropy takes for logits: they, or a student's value [rows, pixels, channels]. */
static __device__ __forceinline__ struct row_scores class_scores(const struct loss_rows &rows, int row)
{
    const struct loss_shape &shape = rows.batch.shape;
    if (!rows.batch.student)
        return loss_student_scores(rows, row);
    return {rows.batch.student + blockIdx.y * rows.batch.student_stride + (size_t)row * shape.pixels * shape.channels,
            shape.channels, shape.pixels};
}
/* Laid out as they; NULL: only the value is wanted */
static __device__ __forceinline__ float *class_gradient(const struct loss_rows &rows, int row)
{
    const struct loss_shape &shape = rows.batch.shape;
    if (!rows.batch.student)
        return loss_gradient(rows, row);
    if (!rows.batch.student_gradient)
        return NULL;
    return rows.batch.student_gradient + blockIdx.y * rows.batch.student_stride +
           (size_t)row * shape.pixels * shape.channels;
}

/* F.cross_entropy(logits, labels, label_smoothing=s), unlabelled samples left out of sum and mean; of a student's value
 * with the means over its pixels as logits. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    cross_entropy_rows(struct loss_rows rows, struct cross_entropy parameters)
{
    const int classes = rows.batch.student ? rows.batch.shape.channels : rows.inputs.classes, lane = threadIdx.x % WARP;
    const int count = loss_row_count(rows, blockIdx.y), labelled = loss_count_labelled(rows, count, classes);
    const double at_label = parameters.at_label[blockIdx.y], everywhere = parameters.everywhere[blockIdx.y];
    const double share = labelled ? 1.0 / labelled : 0;
    double value = 0; /* this lane's share of the sum over rows */
    for (int i = loss_first_row(); i < count; i += loss_row_step()) {
        const struct row_label label = loss_row_label(rows, i, classes);
        const struct row_scores row = class_scores(rows, i);
        float *gradient = class_gradient(rows, i);
        if (label.label < 0)
            continue;
        const double derivative = loss_weight(rows) * share / row.pixels;
        const struct log_softmax softmax = log_softmax_of(row, -1, 1);
        for (int k = lane; k < classes; k += WARP) {
            const double log_q = log_probability(softmax, score_of(row, k));
            const double target = everywhere + at_label * ((k == label.label ? label.share : 0) +
                                                           (k == label.partner ? 1 - label.share : 0));
            value -= target * log_q;
            for (int pixel = 0; gradient && pixel < row.pixels; pixel++)
                gradient[(size_t)pixel * classes + k] += (float)(derivative * (exp(log_q) - target));
        }
    }
    loss_finish(rows, value, share);
}

/* The derivative of a row's KL(p || q), or of -sum of p * q, by a logit / T. */
static __device__ __forceinline__ double distillation_derivative(double q, double p, bool printed, double mean_q)
{
    return printed ? -q * (p - mean_q) : q - p;
}

/* T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T), perhaps of standardised logits. A teacher
 * probability of 0 adds 0, as F.kl_div has it. FORM_PRINTED: T^2 * the sum of p * (log p - q). */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distillation_rows(struct loss_rows rows, struct distillation parameters)
{
    const int classes = rows.inputs.classes, lane = threadIdx.x % WARP;
    const double t = parameters.of[blockIdx.y].temperature, share = parameters.of[blockIdx.y].share;
    const bool standardise = parameters.of[blockIdx.y].standardise;
    const bool printed = parameters.of[blockIdx.y].form == FORM_PRINTED;
    const double weight = loss_weight(rows) * share * t;
    double value = 0;
    for (int row = loss_first_row(); row < rows.batch.count; row += loss_row_step()) {
        const struct row_scores student = loss_student_scores(rows, row), teacher = loss_teacher_scores(rows, row);
        const struct row_standard standard = row_standard_of(student, standardise);
        const double deviation = row_standard_of(teacher, standardise).deviation;
        const struct log_softmax q_of = log_softmax_of(student, -1, 1 / (t * standard.deviation));
        const struct log_softmax p_of = log_softmax_of(teacher, -1, 1 / (t * deviation));
        float *gradient = loss_gradient(rows, row);
        double mean_q = 0, pull = 0;
        for (int k = lane; k < classes; k += WARP) {
            const double log_q = log_probability(q_of, student.z[k]), q = exp(log_q);
            const double log_p = log_probability(p_of, teacher.z[k]), p = exp(log_p);
            if (p > 0)
                value += p * (log_p - (printed ? q : log_q));
            mean_q += p * q;
        }
        mean_q = warp_sum(mean_q);
        for (int k = lane; standardise && k < classes; k += WARP) {
            const double q = exp(log_probability(q_of, student.z[k])), p = exp(log_probability(p_of, teacher.z[k]));
            pull += distillation_derivative(q, p, printed, mean_q) * (student.z[k] - standard.mean);
        }
        pull = warp_sum(pull);
        for (int k = lane; gradient && k < classes; k += WARP) {
            const double q = exp(log_probability(q_of, student.z[k])), p = exp(log_probability(p_of, teacher.z[k]));
            const double derivative = distillation_derivative(q, p, printed, mean_q);
            gradient[k] += (float)(weight * derivative_through(standard, derivative, pull, student.z[k]));
        }
    }
    loss_finish(rows, value, t * t * share);
}

/* mean of (student - teacher)^2 */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP) squared_difference_rows(struct loss_rows rows)
{
    const int classes = rows.inputs.classes, lane = threadIdx.x % WARP;
    const double share = 1.0 / ((double)rows.batch.count * classes), derivative = 2 * share * loss_weight(rows);
    double value = 0;
    for (int row = loss_first_row(); row < rows.batch.count; row += loss_row_step()) {
        const struct row_scores student = loss_student_scores(rows, row), teacher = loss_teacher_scores(rows, row);
        float *gradient = loss_gradient(rows, row);
        for (int k = lane; k < classes; k += WARP) {
            const double difference = (double)student.z[k] - teacher.z[k];
            value += difference * difference;
            if (gradient)
                gradient[k] += (float)(derivative * difference);
        }
    }
    loss_finish(rows, value, share);
}

static void launch_cross_entropy(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    const int classes = rows->batch.student ? rows->batch.shape.channels : rows->inputs.classes;
    struct cross_entropy parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        parameters.at_label[student] = 1 - (double)terms[student].label_smoothing;
        parameters.everywhere[student] = (double)terms[student].label_smoothing / classes;
    }
    LAUNCH(cross_entropy_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}

static void launch_distillation(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    struct distillation parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        const struct loss_term *term = &terms[student];
        parameters.of[student].temperature = term->temperature;
        parameters.of[student].share =
            1.0 / rows->batch.count / (term->reduction == REDUCTION_MEAN ? rows->inputs.classes : 1);
        parameters.of[student].standardise = term->standardise;
        parameters.of[student].form = term->form;
    }
    LAUNCH(distillation_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}

static void launch_squared_difference(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    (void)terms;
    LAUNCH(squared_difference_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows);
}

extern "C" const struct cuda_term_kind cuda_logit_terms[LOSS_KIND_COUNT] = {
    {launch_cross_entropy, NULL},      /* LOSS_CE */
    {launch_distillation, NULL},       /* LOSS_KD */
    {launch_squared_difference, NULL}, /* LOSS_LOGIT_MSE */
    {launch_dkd, NULL},                /* LOSS_DKD */
    {launch_dist, dist_scratch},       /* LOSS_DIST */
    {launch_nkd, NULL},                /* LOSS_NKD */
};
