/* The terms of the loss: formulas, parameters, and what they read and write. The backends' loss files compute them:
 * loss_logits (on rows of logits), loss_features (a student's value against a teacher's, element by element),
 * loss_relations (how the rows of a batch lie to one another), loss_learned (with trained embeddings and memory).
 *
 * Notation: n rows, C classes, z logits, s of the student, t of the teacher, f a value [pixels, channels], y the label.
 * "weight" is the one that the paper (or RepDistiller, mdistiller on CIFAR-100) uses; a term that is written without a
 * weight has weight 1. Everything is computed in double through log-softmax; norms are clamped, so that extreme
 * logits, equal rows and a batch of one stay finite. The gradient never flows to the teacher.
 *
 * LOSS_CE        F.cross_entropy(z_s, y, label_smoothing); rows without a label are left out of sum and mean. Of a
 *                mixed view (mixup, cutmix) the target is lambda * onehot(y) + (1 - lambda) * onehot(y'); it has a
 *                label where both pictures have. With a student's value: of its mean over the pixels instead of the
 *                logits, the channels taken as class scores (rows whose label is no channel are left out).
 * LOSS_KD        T^2 * sum_k p_t (log p_t - log p_s) / n, p = softmax(z / T): Hinton, Vinyals, Dean 2015. T = 4,
 *                weight 0.9 beside 0.1 ce. reduction mean: divided by C as well. standardise: z -> (z - mean) / (std +
 *                1e-7) by row with the unbiased std, both sides, before everything else: Sun et al. 2024 (LSKD; T = 2,
 *                weight 9 beside 0.1 ce). form FORM_PRINTED: log p_s is replaced by p_s, which is no divergence and
 *                how the medium baseline of ML2023 HW13 is often printed.
 * LOSS_LOGIT_MSE mean over n and C of (z_s - z_t)^2: Ba, Caruana 2014.
 * LOSS_DKD       T^2 / n * sum_i (alpha * TCKD + beta * NCKD): Zhao et al. 2022. TCKD = KL of the pairs (p_y, 1 -
 *                p_y); NCKD = KL of the softmaxes over the classes other than y. alpha 1, beta 8, T 4, warm-up 20
 *                epochs. Rows without a label are left out of sum and n; of a mixed view y is the label with the
 *                larger share. standardise as in kd.
 * LOSS_DIST      T^2 * (beta * (1 - mean_i pearson(row i)) + gamma * (1 - mean_k pearson(column k))) of softmax(z /
 *                T), pearson with 1e-8 added to the product of norms: Huang et al. 2022. beta = gamma = 1, T 4, weight
 *                2.
 * LOSS_NKD       -mean(t_y log s_y) - gamma * T^2 * mean_i sum_{k != y} T_k log S_k, where s, t are softmax(z) and S,
 *                T the softmaxes of z / T over the classes other than y: Yang et al. 2023. gamma 1.5, T 1, beside 1
 *                ce. Labels as in dkd.
 *
 * On values; student and teacher have the same shape [n, pixels, channels] (LOSS_AT: the same pixels):
 * LOSS_HINT      mean (f_s - f_t)^2, or smooth L1 (beta 1): FitNets, Romero et al. 2015. weight 100 (second stage).
 * LOSS_AT        mean over n and pixels of (Q_s - Q_t)^2, Q = F.normalize(mean over channels of f^2): Zagoruyko,
 *                Komodakis 2017. weight 1000, summed over pairs. teacher_channels 1: the teacher's Q itself.
 * LOSS_COSINE    mean(1 - cos(f_s, f_t)) over flattened rows; as torch, 1e-12 is added to each squared norm. weight 1.
 * LOSS_VID       mean over all of ((f_s - f_t)^2 / v + log v) / 2, v = softplus(log_scale) + 1e-5 by channel, log_scale
 *                trained (weight [channels], LEARNED_SCALE): Ahn et al. 2019. v begins at 5, weight 1.
 *
 * On rows x = f flattened; student and teacher may have different lengths. d_ij = |x_i - x_j| = sqrt(max(|.|^2, 1e-12))
 * for i != j, 0 on the diagonal. Rows that differ by less than float rounding (|.|^2 < 1e-13 of their squared norms)
 * count as equal, and what has no direction (equal rows, rows of zeros) gets no gradient:
 * - LOSS_RKD_DISTANCE: mean over n^2 of huber(d_s - d_t), d divided by the mean of its positive entries (the student's
 *   mean takes part in the gradient): Park et al. 2019. weight 25. distance mse and scale none: `dm`, and the form of
 *   ML2023 HW13's boss baseline.
 * - LOSS_RKD_ANGLE: mean over n^3 of huber(a_s - a_t), a_ijk = <e_ij, e_ik>, e_ij = (x_j - x_i) / |x_j - x_i|, 0 where
 *   x_i = x_j: Park et al. 2019. weight 50. distance mse: HW13's form, norms + 1e-8. O(n^2) memory.
 * - LOSS_SP: |G_s - G_t|^2 / n^2, G = row-L2-normalised x x^T: Tung, Mori 2019. weight 3000.
 * - LOSS_PKT: mean over n^2 of k_t log((k_t + 1e-7) / (k_s + 1e-7)), k = (cos + 1) / 2 divided by its row's sum; cos
 *   with 1e-7 added to norms: Passalis, Tefas 2018. weight 30000.
 *
 * With trained weights of the term's own; x_s is the student's embedding (a linear layer of the training graph, 128):
 * - LOSS_CC: mean over i < n of sum_d |D_i| |D_{i+1}|, D = x_s - (W x_t + b): as RepDistiller has it (Peng et al.
 *   2019); n = 1 gives 0. weight 0.02. LEARNED_WEIGHT [128, d], LEARNED_BIAS [128].
 * - LOSS_CRD: Tian, Krishnan, Isola 2020: NCE of v_s = x_s / |x_s| against the memory of all samples' v_t, and of v_t =
 *   (W x_t + b) / |.| against that of v_s. P = exp(<v, memory> / T) / Z; mean over n of -log(P / (P + c)) of the own
 *   sample plus the sum over K negatives of -log((c - 1e-7) / (P + c)), c = K / samples + 1e-7, both sides added.
 *   T 0.07, K 16384, momentum 0.5, weight 0.8. LEARNED_WEIGHT, LEARNED_BIAS; state LEARNED_MEMORY_STUDENT,
 *   LEARNED_MEMORY_TEACHER [samples, 128], which begin uniform in +-sqrt(3 / 128), and LEARNED_NORMALISER [2] (0: not
 *   set yet): Z of student and teacher, mean(exp) * samples of the first step. A step with gradients sets Z and moves
 *   the batch's rows of the memories: momentum * memory + (1 - momentum) * v, normalised; one without changes neither.
 *   Negatives are drawn with replacement from all other samples, whatever their class (RepDistiller without labels: all
 *   samples; with labels: those of other classes): number j of row i is word j % 4 of philox4x32 at counter (j / 4, i,
 *   step, RANDOM_NEGATIVES), key seed, times (samples - 1) / 2^32.
 */
#ifndef SHARED_TRAINING_LOSSES_LOSSES_H
#define SHARED_TRAINING_LOSSES_LOSSES_H

#include "shared/tensor/dtype.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOSS_MAX_TERMS = 16, LOSS_EMBEDDING = 128 };

enum loss_kind {
    LOSS_CE,
    LOSS_KD,
    LOSS_LOGIT_MSE,
    LOSS_DKD,
    LOSS_DIST,
    LOSS_NKD,
    LOSS_HINT,
    LOSS_AT,
    LOSS_COSINE,
    LOSS_VID,
    LOSS_RKD_DISTANCE,
    LOSS_RKD_ANGLE,
    LOSS_SP,
    LOSS_PKT,
    LOSS_CC,
    LOSS_CRD,
    LOSS_KIND_COUNT
};
enum loss_reduction { REDUCTION_BATCHMEAN, REDUCTION_MEAN };
enum loss_form { FORM_KL, FORM_PRINTED };
enum loss_distance { DISTANCE_HUBER, DISTANCE_MSE }; /* huber: smooth L1 with beta 1 */
enum loss_scale { SCALE_MEAN, SCALE_NONE };

/* A term has the fields of its kind. */
struct loss_term {
    enum loss_kind kind;
    float weight;                  /* the trainer's, as warmup and ramp: what the step's weights are made from */
    float warmup;                  /* epochs in which the weight rises to its value */
    float ramp, ramp_epochs;       /* then it goes to ramp * weight in ramp_epochs; 0 epochs: it does not */
    float label_smoothing;         /* ce: PyTorch's meaning, target = (1 - s) * onehot + s / classes */
    float temperature;             /* kd, dkd, dist, nkd, crd */
    float alpha, beta, gamma;      /* dkd; dist, nkd */
    enum loss_reduction reduction; /* kd: sum over classes / samples, or mean over both */
    enum loss_form form;           /* kd */
    bool standardise;              /* kd, dkd */
    enum loss_distance distance;   /* hint, rkd */
    enum loss_scale scale;         /* rkd_distance */
    float variance;                /* vid: where it begins */
    float negatives, momentum;     /* crd */
};

/* Sizes of what a term works on. */
struct loss_shape {
    int batch, classes;
    uint32_t samples;     /* of the data set */
    int pixels, channels; /* of the student's value a sample */
    int teacher_pixels, teacher_channels;
};

/* Where a term's trained weights (in the parameter vector) and its state (in the state vector) begin. */
enum loss_learned {
    LEARNED_SCALE,
    LEARNED_WEIGHT,
    LEARNED_BIAS,
    LEARNED_MEMORY_STUDENT,
    LEARNED_MEMORY_TEACHER,
    LEARNED_NORMALISER,
    LEARNED_COUNT
};

struct epoch_inputs;

/* What a term is computed on. All device memory. `rows` below is the step's rows[index]; there is room for the batch.
 */
struct loss_batch {
    int count, students;
    int part;            /* a term on several pairs of values is asked for once for each: only part 0 counts its rows */
    const float *logits; /* [students][count, classes] of the students */
    size_t logit_stride; /* floats from a student's logits to the next one's */
    float *gradient;     /* [students][count, classes] += weight * dL/dlogits; NULL: values only */
    size_t gradient_stride; /* floats from a student's gradient to the next one's */
    const struct epoch_inputs
        *inputs;             /* labels, teacher's logits (may be NULL: then only ce works), weights, rows, the step */
    double *metrics;         /* [students, METRIC_COUNT] */
    struct loss_shape shape; /* batch and classes for every term; the rest for terms on values, otherwise 0 */
    /* of terms on values; otherwise NULL and 0 */
    const float *student;    /* [students][rows, pixels, channels] */
    float *student_gradient; /* the same, += weight * dL/dstudent; NULL: values only */
    size_t student_stride;   /* floats from a student's value to the next one's, and of their gradients */
    const float *teacher;    /* [rows, teacher_pixels, teacher_channels], for all students */
    float *parameters, *parameter_gradients; /* [students][...]: = weight * dL/dparameters, not added to */
    float *state;
    size_t parameter_stride, state_stride; /* floats from a student's to the next one's */
    size_t learned[LEARNED_COUNT];         /* offsets in parameters or state */
    /* of every term that asks for it */
    void *scratch;         /* [students][loss_scratch bytes], of the term's own: not kept from call to call */
    size_t scratch_stride; /* bytes */
};

/* ---- features ---- */
/* The teacher's values of a data set as they are stored, for all of its samples. values and scales: from store_new. */
struct feature_store {
    enum dtype dtype; /* DTYPE_FP16 or DTYPE_INT8 */
    int channels, h, w;
    int views;           /* the first `views` views of a sample have it */
    const void *values;  /* [samples, views, h, w, channels] float16, or int8: value = int8 * scale */
    const float *scales; /* int8: [samples, views, channels] */
};

/* A student's value, averaged to h x w where it is larger. */
struct student_feature {
    int tensor; /* of the plan: a kept one, or the output */
    int h, w;
};

#endif
