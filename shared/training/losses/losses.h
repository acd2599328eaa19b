/* The terms of the loss: what each computes, its parameters, and what it reads and writes. This is the specification;
 * NAME.c (CPU) and NAME.cu (GPU) compute the term that --loss calls NAME, with the formulas in loss_math.h.
 *
 * Notation
 *     n             rows of the batch that a term sees        i, j: rows
 *     C             classes                                   k: a class; y: the row's label
 *     s, t          logits of student and teacher [n, C]      T: temperature
 *     f_s, f_t      features of student and teacher [n, pixels, channels]
 *     x             a row of features, flattened              x_s, x_t: of the student, of the teacher
 * "usual": a whole --loss with the weights of the paper, or of RepDistiller or mdistiller on CIFAR-100. A term without
 * a weight has weight 1. Parameters are listed with their defaults.
 *
 * Everything is computed in double through log-softmax, and norms are clamped, so that extreme logits, equal rows and a
 * batch of one stay finite. The teacher gets no gradient.
 *
 * ======== terms on logits ========
 *
 * LOSS_CE: F.cross_entropy.
 *     L = -mean_i sum_k target_k log softmax(s)_k
 *     target = (1 - label_smoothing) * onehot(y) + label_smoothing / C
 *     of a mixed view (mixup, cutmix): lambda * onehot(y) + (1 - lambda) * onehot(y') in place of onehot(y)
 *     Rows without a label are left out of sum and mean; a mixed view has a label if both of its pictures have one.
 *     student=VALUE: the logits are the value's means over the pixels, its channels are the classes; rows whose label
 *     is not a channel are left out.
 *     parameters   label_smoothing 0
 *     usual        ce
 *
 * LOSS_KD: Hinton, Vinyals, Dean 2015.
 *     L = T^2 * mean_i sum_k p_k (log p_k - log q_k),   p = softmax(t / T), q = softmax(s / T)
 *     reduction REDUCTION_MEAN: divided by C as well.
 *     form FORM_PRINTED: q_k in place of log q_k. That is not a divergence, but how the medium baseline of ML2023 HW13
 *     is often printed.
 *     standardise: before everything else z -> (z - mean) / (std + 1e-7), row by row on both sides, with the unbiased
 *     std: Sun et al. 2024 (`lskd`).
 *     parameters   temperature 4 (lskd: 2), reduction, form, standardise
 *     usual        0.1 * ce + 0.9 * kd(T=4); 0.1 * ce + 9 * lskd(T=2)
 *
 * LOSS_LOGIT_MSE: Ba, Caruana 2014.
 *     L = mean_ik (s_ik - t_ik)^2
 *     usual        ce + 0.1 * logit_mse
 *
 * LOSS_DKD: Zhao et al. 2022.
 *     L = T^2 * mean_i (alpha * TCKD_i + beta * NCKD_i)
 *     TCKD = KL of the two-way distributions (p_y, 1 - p_y), p = softmax(z / T)
 *     NCKD = KL of the softmaxes of z / T over the classes other than y
 *     Rows without a label are left out of sum and mean; of a mixed view y is the label with the larger share.
 *     parameters   temperature 4, alpha 1, beta 8, standardise (as in LOSS_KD)
 *     usual        ce + dkd(T=4, alpha=1, beta=8, warmup=20)
 *
 * LOSS_DIST: Huang et al. 2022.
 *     L = T^2 * (beta * (1 - mean_i r(row i)) + gamma * (1 - mean_k r(column k)))
 *     r(p, q) = <p - mean p, q - mean q> / (|p - mean p| |q - mean q| + 1e-8) of softmax(z / T): Pearson's correlation
 *     parameters   temperature 4, beta 1, gamma 1
 *     usual        ce + 2 * dist(T=4)
 *
 * LOSS_NKD: Yang et al. 2023.
 *     L = mean_i (-p_y log q_y - gamma * T^2 * sum_{k != y} P_k log Q_k)
 *     p, q = softmax(t), softmax(s);   P, Q = the softmaxes of t / T and s / T over the classes other than y
 *     Labels as in LOSS_DKD.
 *     parameters   temperature 1, gamma 1.5
 *     usual        ce + nkd(T=1, gamma=1.5)
 *
 * LOSS_RLD: Sun et al. 2024, refined logit distillation, in the form of the authors' code without standardisation.
 *     L = mean_i (alpha * T1^2 * SCD_i + beta * T^2 * MCD_i)
 *     SCD = KL of the two-way distributions (p_m, 1 - p_m) || (q_y, 1 - q_y), p, q = softmax(t / T1), softmax(s / T1),
 *     m the teacher's class: its confidence, but in the right class
 *     MCD = KL of the softmaxes of t / T and s / T over the classes with t_k < t_y; 0 if there is none
 *     Labels as in LOSS_DKD.
 *     parameters   temperature 4, alpha_temperature (T1) 1, alpha 1, beta 8
 *     usual        ce + rld(T=4, alpha=1, beta=8, warmup=20)
 *
 * LOSS_WTTM: Zheng, Yang 2024, weighted transformed teacher matching.
 *     L = mean_i w_i * KL(p^gamma / w_i || softmax(s)),   p = softmax(t), w_i = sum_k p_k^gamma
 *     parameters   gamma 0.1
 *     usual        ce + 4 * wttm(gamma=0.2)
 *
 * LOSS_ABKD: Wang et al. 2025, the alpha-beta divergence, for alpha, beta > 0.
 *     L = -1 / (alpha beta) * mean_i sum_k (p^alpha q^beta - alpha / (alpha + beta) * p^(alpha + beta)
 *                                                          - beta / (alpha + beta) * q^(alpha + beta))
 *     p, q = softmax(t / T), softmax(s / T); not multiplied by T^2, as in the authors' code
 *     parameters   temperature 4, alpha 0.8, beta 0.3
 *     usual        ce + 32 * abkd(T=4, alpha=0.8, beta=0.3)
 *
 * LOSS_MLKD: Jin, Wang, Lin 2023, multi-level logit distillation, without the masks of the authors' code, which leave
 * out the more confident half of the weakly augmented views.
 *     L = sum_j (T_j^2 * mean_i KL(p || q) + beta / n * |Q Q^T - P P^T|^2 + gamma / C * |Q^T Q - P^T P|^2)
 *     T_j = T / 2, 3T / 4, T, 5T / 4, 3T / 2;   p, q = softmax(t / T_j), softmax(s / T_j), the rows of P, Q [n, C]
 *     parameters   temperature 4, beta 1, gamma 1
 *     usual        0.1 * ce + 0.9 * mlkd(T=4)
 *
 * gate: of every term on logits that has a teacher. A view is gated if it has a label y (of a mixed view the one with
 * the larger share) and the teacher's class is not y, or softmax(t)_y < gate. A gated view
 *     GATED_LABEL  gets the logits of a softened label in place of the teacher's: softmax of them is 1 - soften for y,
 *                  soften / (C - 1) for the others, and their mean is 0
 *     GATED_CE     is left to the other terms: it adds nothing to this one's value and gradient, whose mean is still
 *                  over all rows; relations of rows (LOSS_DIST's columns, LOSS_MLKD) are those of the other views
 *     parameters   gate 0 (no view is gated), gated GATED_LABEL, soften 0.1
 *     Simplified from FerKD (Shen 2023).
 *
 * ======== terms on features, element by element ========
 * Student and teacher have the same shape (LOSS_AT: the same pixels). Means are over rows, pixels and channels.
 *
 * LOSS_HINT: FitNets, Romero et al. 2015.
 *     L = mean (f_s - f_t)^2                          distance DISTANCE_MSE
 *     L = mean huber(f_s - f_t)                       distance DISTANCE_HUBER
 *     L = mean (f_s - f_t)^2 / teacher_square         distance DISTANCE_RELATIVE
 *     huber(u) = u^2 / 2 for |u| < 1, |u| - 1/2 beyond: smooth L1 with beta 1
 *     teacher_square: the mean of f_t^2 in the cache, before maps are averaged to the student's size, so that a weight
 *     means the same for every teacher; 0: taken as 1
 *     parameters   distance DISTANCE_MSE
 *     usual        ce + 100 * hint (second stage)
 *
 * LOSS_AT: attention transfer, Zagoruyko, Komodakis 2017.
 *     L = mean over rows and pixels of (Q_s - Q_t)^2
 *     Q = F.normalize(mean over channels of f^2), of a row's pixels; teacher_channels 1: f_t is Q_t already
 *     usual        ce + 1000 * at, summed over pairs of features
 *
 * LOSS_COSINE: F.cosine_embedding_loss.
 *     L = mean_i (1 - <x_s, x_t> / sqrt((|x_s|^2 + 1e-12) (|x_t|^2 + 1e-12)))
 *     usual        0.75 * ce + 0.25 * cosine
 *
 * LOSS_VID: Ahn et al. 2019.
 *     L = mean ((f_s - f_t)^2 / v + log v) / 2
 *     v = softplus(log_scale) + 1e-5, a variance for each channel
 *     trained      LEARNED_SCALE log_scale [channels]
 *     parameters   variance 5, where v begins
 *     usual        ce + vid
 *
 * ======== terms on how the rows of a batch lie to one another ========
 * Student and teacher may have different lengths. Rows with |x_i - x_j|^2 < 1e-13 * (|x_i|^2 + |x_j|^2) differ by less
 * than float rounding and count as equal. What has no direction (equal rows, rows of zeros) gets no gradient.
 *
 * LOSS_RKD_DISTANCE: Park et al. 2019.
 *     L = mean_ij huber(d_s - d_t)
 *     d_ij = sqrt(max(|x_i - x_j|^2, 1e-12)) for i != j, 0 for i = j
 *     scale SCALE_MEAN: d is divided by the mean of its positive elements, which takes part in the gradient.
 *     distance DISTANCE_MSE: u^2 in place of huber(u). With SCALE_NONE it is `dm`, of ML2023 HW13's boss baseline.
 *     parameters   distance DISTANCE_HUBER, scale SCALE_MEAN
 *     usual        ce + 25 * rkd_distance + 50 * rkd_angle; 0.5 * ce + 0.5 * dm
 *
 * LOSS_RKD_ANGLE: Park et al. 2019. Memory is O(n^2).
 *     L = mean_ijk huber(a_s - a_t)
 *     a_ijk = <e_ij, e_ik>,   e_ij = (x_j - x_i) / |x_j - x_i|, 0 where x_i = x_j
 *     distance DISTANCE_MSE: u^2 in place of huber(u), and norms + 1e-8: HW13's form.
 *     parameters   distance DISTANCE_HUBER
 *     usual        see LOSS_RKD_DISTANCE
 *
 * LOSS_SP: Tung, Mori 2019.
 *     L = |G_s - G_t|^2 / n^2,   G = x x^T with its rows divided by their norms
 *     usual        ce + 3000 * sp
 *
 * LOSS_PKT: Passalis, Tefas 2018.
 *     L = mean_ij p_ij log((p_ij + 1e-7) / (q_ij + 1e-7)),   p of the teacher, q of the student
 *     p_ij = c_ij / sum_j c_ij,   c = (cos(x_i, x_j) + 1) / 2, with 1e-7 added to the norms
 *     usual        ce + 30000 * pkt
 *
 * ======== terms with trained embeddings ========
 * x_s is the student's embedding, 128 numbers from a linear layer of the training graph; W x_t + b is the teacher's.
 *     trained      LEARNED_WEIGHT W [128, length of x_t], LEARNED_BIAS b [128]
 *
 * LOSS_CC: Peng et al. 2019, in the form of RepDistiller.
 *     L = 1 / (n - 1) * sum_{i < n} sum_d |D_id| |D_{i+1,d}|,   D = x_s - (W x_t + b);   0 for n = 1
 *     usual        ce + 0.02 * cc
 *
 * LOSS_CRD: Tian, Krishnan, Isola 2020: noise contrastive estimation of unit vectors v_s = x_s / |x_s| and
 * v_t = (W x_t + b) / |W x_t + b| against memories of all samples' unit vectors of the other side.
 *     L = L(v_s against the memory of v_t) + L(v_t against the memory of v_s)
 *     L(v against m) = mean_i (-log(P_0 / (P_0 + c)) - sum_{j = 1..K} log((c - 1e-7) / (P_j + c)))
 *     P_j = exp(<v, m_j> / T) / Z,   c = K / samples + 1e-7;   j = 0: the row's own sample, the others: its negatives
 *     The first step with gradients sets Z of each side to samples * the mean of exp(<v, m_j> / T).
 *     A step with gradients then moves the batch's rows: m -> momentum * m + (1 - momentum) * v, normalised. A step
 *     without gradients changes neither Z nor the memories.
 *     Negatives are drawn with replacement from all other samples, whatever their class (RepDistiller without labels:
 *     from all samples; with labels: from those of other classes). Number j of row i, j from 0, is
 *         word * (samples - 1) / 2^32, and one more from the row's own sample on
 *         word = word j % 4 of philox4x32(counter (j / 4, i, step, RANDOM_NEGATIVES | step >> 32 << 8), key seed)
 *     state        LEARNED_MEMORY_STUDENT, LEARNED_MEMORY_TEACHER [samples, 128], at first uniform in +-sqrt(3 / 128);
 *                  LEARNED_NORMALISER [2], Z of student and teacher, 0: not set yet
 *     parameters   temperature 0.07, negatives K 16384, momentum 0.5
 *     usual        ce + 0.8 * crd
 */
#ifndef SHARED_TRAINING_LOSSES_LOSSES_H
#define SHARED_TRAINING_LOSSES_LOSSES_H

#include "shared/tensor/dtype.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOSS_MAX_TERMS = 16, LOSS_EMBEDDING = 128 /* numbers of an embedding: cc, crd */ };

enum loss_kind {
    LOSS_CE,
    LOSS_KD,
    LOSS_LOGIT_MSE,
    LOSS_DKD,
    LOSS_DIST,
    LOSS_NKD,
    LOSS_RLD,
    LOSS_WTTM,
    LOSS_ABKD,
    LOSS_MLKD,
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
enum loss_distance { DISTANCE_HUBER, DISTANCE_MSE, DISTANCE_RELATIVE };
enum loss_scale { SCALE_MEAN, SCALE_NONE };
enum loss_gated { GATED_LABEL, GATED_CE };

/* One term of one student's loss. A term uses the parameters of its kind. */
struct loss_term {
    enum loss_kind kind;
    float weight;            /* weight, warmup and ramp: from these the trainer makes the weights of the steps */
    float warmup;            /* epochs in which the weight rises to its value */
    float ramp, ramp_epochs; /* then it goes to ramp * weight in ramp_epochs; 0 epochs: it stays */
    float label_smoothing;   /* ce */
    float temperature;       /* kd, dkd, dist, nkd, rld, abkd, mlkd, crd */
    float alpha_temperature; /* rld */
    float alpha;             /* dkd, rld, abkd */
    float beta;              /* dkd, dist, rld, abkd, mlkd */
    float gamma;             /* dist, nkd, wttm, mlkd */
    float gate, soften;      /* terms on logits with a teacher */
    enum loss_gated gated;
    enum loss_reduction reduction; /* kd: sum over classes and mean over rows, or mean over both */
    enum loss_form form;           /* kd */
    bool standardise;              /* kd, dkd */
    enum loss_distance distance;   /* hint, rkd_distance, rkd_angle */
    float teacher_square;          /* hint, relative: the trainer takes it from the feature_store */
    enum loss_scale scale;         /* rkd_distance */
    float variance;                /* vid: where it begins */
    float negatives, momentum;     /* crd */
};

/* Sizes of what a term works on. */
struct loss_shape {
    int batch;                            /* room for rows; the last batch of a pass may have fewer */
    int classes;                          /* of the logits */
    uint32_t samples;                     /* of the data set */
    int pixels, channels;                 /* of a row of the student's features */
    int teacher_pixels, teacher_channels; /* of a row of the teacher's features */
};

/* What a term trains (in the parameter vector) or remembers (in the state vector). */
enum loss_learned {
    LEARNED_SCALE,          /* parameters [channels]: vid */
    LEARNED_WEIGHT,         /* parameters [LOSS_EMBEDDING, teacher_pixels * teacher_channels]: cc, crd */
    LEARNED_BIAS,           /* parameters [LOSS_EMBEDDING]: cc, crd */
    LEARNED_MEMORY_STUDENT, /* state [samples, LOSS_EMBEDDING]: crd */
    LEARNED_MEMORY_TEACHER, /* state [samples, LOSS_EMBEDDING]: crd */
    LEARNED_NORMALISER,     /* state [2], of student and teacher: crd */
    LEARNED_COUNT
};

struct epoch_inputs;

/* What a term is computed on. All pointers are borrowed; all but `inputs` point to device memory. `rows` below is the
 * step's rows[index] of the student; arrays have room for shape.batch rows. Strides lead from one student to the next.
 */
struct loss_batch {
    int count, students;
    int part;            /* a term on several pairs of features is added once per pair: only part 0 counts its rows */
    const float *logits; /* [students][count, classes] of the students */
    size_t logit_stride; /* floats */
    float *gradient;     /* [students][count, classes] += weight * dL/dlogits; NULL: values only */
    size_t gradient_stride;            /* floats */
    const struct epoch_inputs *inputs; /* labels, the teacher's logits (NULL: only ce works), weights, rows, the step */
    double *metrics;                   /* [students, METRIC_COUNT] */
    struct loss_shape shape;           /* terms on logits: batch and classes, the rest 0 */

    /* terms on features; otherwise NULL and 0 */
    const float *student;       /* [students][rows, pixels, channels] */
    float *student_gradient;    /* [students][rows, pixels, channels] += weight * dL/dstudent; NULL: values only */
    size_t student_stride;      /* floats, of student and student_gradient */
    const float *teacher;       /* [rows, teacher_pixels, teacher_channels], the same for all students */
    float *parameters;          /* [students][parameter_stride] */
    float *parameter_gradients; /* [students][parameter_stride] = weight * dL/dparameters: written, not added to */
    float *state;               /* [students][state_stride] */
    size_t parameter_stride, state_stride; /* floats */
    size_t learned[LEARNED_COUNT];         /* where each of enum loss_learned begins in parameters or state */

    /* terms that need it */
    void *scratch;         /* [students][scratch_stride]: the term's own, not kept from call to call */
    size_t scratch_stride; /* bytes, at least those of loss_ops.scratch */
};

/* ---- features ---- */
/* The teacher's features of a data set as they are stored, for all of its samples. values and scales: from
 * device_ops.store_new. */
struct feature_store {
    enum dtype dtype; /* DTYPE_FP16 or DTYPE_INT8 */
    int channels, h, w;
    int views;           /* the first `views` views of a sample have the feature */
    const void *values;  /* [samples, views, h, w, channels] float16, or int8: value = int8 * scale */
    const float *scales; /* int8: [samples, views, channels] */
    float mean_square;   /* of the values, or of a sample of them */
};

/* A student's feature, averaged down to h x w. */
struct student_feature {
    int tensor; /* of the plan: a retained one, or the output */
    int h, w;
};

#endif
