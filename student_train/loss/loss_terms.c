#include "student_train/loss/loss_terms.h"

#include <ctype.h>
#include <string.h>

static const char *const reductions[] = {"batchmean", "mean", NULL};
static const char *const forms[] = {"kl", "printed", NULL};
static const char *const flags[] = {"no", "yes", NULL};
static const char *const hint_distances[] = {"smooth_l1", "mse", "relative", NULL};
static const char *const relation_distances[] = {"huber", "mse", NULL};
static const char *const scales[] = {"mean", "none", NULL};
static const char *const gated[] = {"label", "ce", NULL};
static const char *const regressors[] = {"none", "conv1x1", "conv3x3", "linear", NULL};

/* clang-format off */
#define FIELD(f) .offset = offsetof(struct loss_term, f)
#define NUMBER(n, from, to, text) \
    {.name = #n, .type = PARAMETER_NUMBER, FIELD(n), .low = from, .high = to, .meaning = text}
#define WORD(n, list, text) {.name = #n, .type = PARAMETER_WORD, FIELD(n), .words = list, .meaning = text}
#define END {.name = NULL}

#define DIVIDING_BY_T(text) {.name = "T", .type = PARAMETER_NUMBER, FIELD(temperature), .low = 1e-3f, .high = 1e4f, \
    .always = true, .meaning = text}
#define TEMPERATURE DIVIDING_BY_T("temperature: logits are divided by it")
#define STANDARDISE {.name = "standardise", .type = PARAMETER_FLAG, FIELD(standardise), .words = flags, \
    .meaning = "subtract the mean from the logits and divide by their standard deviation, row by row"}
#define REDUCTION WORD(reduction, reductions, \
    "batchmean: the sum over classes; mean: their mean, which is smaller by the number of classes")
#define GATE NUMBER(gate, 0, 1, \
    "views on which the teacher is wrong, or gives the label less than this, are gated; 0: none"), \
    WORD(gated, gated, "label: a gated view gets a softened label; ce: it is left to the other terms"), \
    NUMBER(soften, 1e-6f, 1, "of a softened label: what the other classes get together")
#define STUDENT {.name = "student", .type = PARAMETER_STUDENT, \
    .meaning = "feature of the student, or several as [a, b]; student_train inspect lists them"}
#define PAIRS STUDENT, {.name = "teacher", .type = PARAMETER_TEACHER, \
    .meaning = "feature of the cache, or several as [a, b]; as many as in student="}
#define REGRESSOR {.name = "regressor", .type = PARAMETER_REGRESSOR, .words = regressors, \
    .meaning = "trained layer that brings the student's feature to the teacher's channels"}
#define DISTANCE(list, more) WORD(distance, list, "of differences: squared, or smooth L1 (huber: the same, beta 1)" more)
/* clang-format on */

const struct loss_parameter loss_common_parameters[] = {
    NUMBER(warmup, 0, 1e6f, "epochs in which the weight rises from 0"),
    NUMBER(ramp, 0, 1e6f, "after the warm-up the weight goes to this many times its value ..."),
    NUMBER(ramp_epochs, 0, 1e6f, "... within this many epochs; 0: the weight stays"),
    END,
};

static const struct loss_parameter ce[] = {
    NUMBER(label_smoothing, 0, 1, "share of the target that is spread evenly over all classes"),
    {.name = "student", .type = PARAMETER_STUDENT, .meaning = "a feature of the student instead of its logits"},
    END,
};
static const struct loss_parameter kd[] = {
    TEMPERATURE,
    REDUCTION,
    STANDARDISE,
    WORD(form, forms, "kl: the divergence; printed: with probabilities where the divergence has their logarithm"),
    GATE,
    END,
};
static const struct loss_parameter lskd[] = {TEMPERATURE, REDUCTION, GATE, END};
static const struct loss_parameter dkd[] = {
    TEMPERATURE,
    NUMBER(alpha, 0, 1e6f, "weight of the target class against the rest"),
    NUMBER(beta, 0, 1e6f, "weight of the other classes among themselves"),
    STANDARDISE,
    GATE,
    END,
};
static const struct loss_parameter dist[] = {
    TEMPERATURE,
    NUMBER(beta, 0, 1e6f, "weight of the correlation within rows (classes of a sample)"),
    NUMBER(gamma, 0, 1e6f, "weight of the correlation within columns (samples of a class)"),
    GATE,
    END,
};
static const struct loss_parameter nkd[] = {
    TEMPERATURE,
    NUMBER(gamma, 0, 1e6f, "weight of the classes other than the label"),
    GATE,
    END,
};
static const struct loss_parameter rld[] = {
    TEMPERATURE,
    {.name = "T1",
     .type = PARAMETER_NUMBER,
     FIELD(alpha_temperature),
     .low = 1e-3f,
     .high = 1e4f,
     .meaning = "temperature of the confidence in the label"},
    NUMBER(alpha, 0, 1e6f, "weight of the confidence in the label against the rest"),
    NUMBER(beta, 0, 1e6f, "weight of the classes that the teacher ranks below the label"),
    GATE,
    END,
};
static const struct loss_parameter wttm[] = {
    NUMBER(gamma, 1e-3f, 1e3f, "exponent of the teacher's probabilities"),
    GATE,
    END,
};
static const struct loss_parameter abkd[] = {
    TEMPERATURE,
    NUMBER(alpha, 1e-3f, 1e3f, "exponent of the teacher's probabilities"),
    NUMBER(beta, 1e-3f, 1e3f, "exponent of the student's probabilities"),
    GATE,
    END,
};
static const struct loss_parameter mlkd[] = {
    DIVIDING_BY_T("middle one of five temperatures; the others are 0.5, 0.75, 1.25 and 1.5 times it"),
    NUMBER(beta, 0, 1e6f, "weight of the relations between the samples of a batch"),
    NUMBER(gamma, 0, 1e6f, "weight of the relations between the classes in a batch"),
    GATE,
    END,
};
static const struct loss_parameter gate_only[] = {GATE, END};
static const struct loss_parameter hint[] = {
    PAIRS,
    REGRESSOR,
    DISTANCE(hint_distances, "; relative: squared, divided by the mean square of the teacher's feature in the cache"),
    END,
};
static const struct loss_parameter cosine[] = {PAIRS, REGRESSOR, END};
static const struct loss_parameter vid[] = {
    PAIRS,
    NUMBER(variance, 1e-3f, 1e6f, "initial variance of every channel"),
    END,
};
static const struct loss_parameter rkd_distance[] = {
    PAIRS,
    DISTANCE(relation_distances, ""),
    WORD(scale, scales, "mean: distances are divided by their mean"),
    END,
};
static const struct loss_parameter rkd_angle[] = {PAIRS, DISTANCE(relation_distances, ""), END};
static const struct loss_parameter pairs[] = {PAIRS, END};
static const struct loss_parameter crd[] = {
    PAIRS,
    DIVIDING_BY_T("temperature: similarities are divided by it"),
    NUMBER(negatives, 1, 1e6f, "number of other samples that a sample is contrasted with"),
    NUMBER(momentum, 0, 1, "how much of its old value a memory keeps when it is updated"),
    END,
};

#define SOFTEN 0.1f

const struct loss_entry loss_entries[] = {
    /* ---- on logits ---- */
    {
        .name = "ce",
        .defaults = {.kind = LOSS_CE, .weight = 1},
        .parameters = ce,
        .compares = COMPARES_LOGITS_OR_FEATURE,
        .needs_labels = true,
        .usual = "ce",
        .source = "",
        .what = "cross entropy with the labels; student=FEATURE takes its channels as class scores",
        .formula = "-log p_y, p = softmax(s), averaged over the rows that have a label; with label_smoothing e the "
                   "target is (1 - e) * onehot(y) + e / C; for mixed views it is lambda * onehot(y) + (1 - lambda) * "
                   "onehot(y')",
    },
    {
        .name = "kd",
        .defaults = {.kind = LOSS_KD, .weight = 1, .temperature = 4, .soften = SOFTEN},
        .parameters = kd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "0.1*ce + 0.9*kd(T=4)",
        .source = "Hinton, Vinyals, Dean 2015",
        .what = "T^2 KL(softmax(teacher/T) || softmax(student/T)); reduction=mean also divides by the number of "
                "classes",
        .formula = "T^2 / n * sum_ik t_ik (log t_ik - log s_ik), t and s each softmax(z / T); reduction=mean: also "
                   "divided by C; form=printed: s_ik in place of log s_ik, which is not a divergence",
    },
    {
        .name = "lskd",
        .defaults = {.kind = LOSS_KD, .weight = 1, .temperature = 2, .standardise = true, .soften = SOFTEN},
        .parameters = lskd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "0.1*ce + 9*lskd(T=2)",
        .source = "Sun et al. 2024",
        .what = "kd of logits that are standardised row by row: kd(standardise=yes)",
        .formula = "kd after z -> (z - mean) / (std + 1e-7), row by row, for student and teacher",
    },
    {
        .name = "logit_mse",
        .defaults = {.kind = LOSS_LOGIT_MSE, .weight = 1, .soften = SOFTEN},
        .parameters = gate_only,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "ce + 0.1*logit_mse",
        .source = "Ba, Caruana 2014",
        .what = "mean squared difference of the logits",
        .formula = "mean over n and C of (s - t)^2",
    },
    {
        .name = "dkd",
        .defaults = {.kind = LOSS_DKD, .weight = 1, .temperature = 4, .alpha = 1, .beta = 8, .soften = SOFTEN},
        .parameters = dkd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .needs_labels = true,
        .usual = "ce + dkd(T=4, alpha=1, beta=8, warmup=20)",
        .source = "Zhao et al. 2022",
        .what = "kd in two parts: the target class against the rest, and the rest among themselves",
        .formula = "T^2 / n * sum_i (alpha * TCKD + beta * NCKD): TCKD = KL of the pairs (p_y, 1 - p_y), NCKD = KL of "
                   "the softmaxes over the classes other than y",
    },
    {
        .name = "dist",
        .defaults = {.kind = LOSS_DIST, .weight = 1, .temperature = 4, .beta = 1, .gamma = 1, .soften = SOFTEN},
        .parameters = dist,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "ce + 2*dist(T=4)",
        .source = "Huang et al. 2022",
        .what = "correlation of the probabilities within rows and within classes",
        .formula = "T^2 * (beta * (1 - mean_i pearson(row i)) + gamma * (1 - mean_k pearson(column k))) of "
                   "softmax(z / T)",
    },
    {
        .name = "nkd",
        .defaults = {.kind = LOSS_NKD, .weight = 1, .temperature = 1, .gamma = 1.5f, .soften = SOFTEN},
        .parameters = nkd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .needs_labels = true,
        .usual = "ce + nkd(T=1, gamma=1.5)",
        .source = "Yang et al. 2023",
        .what = "soft target of the label, and normalised kd of the other classes",
        .formula = "-mean(t_y log s_y) - gamma * T^2 * mean_i sum_{k != y} t'_k log s'_k, ' = softmax(z / T) over the "
                   "classes other than y",
    },
    {
        .name = "rld",
        .defaults = {.kind = LOSS_RLD,
                     .weight = 1,
                     .temperature = 4,
                     .alpha_temperature = 1,
                     .alpha = 1,
                     .beta = 8,
                     .soften = SOFTEN},
        .parameters = rld,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .needs_labels = true,
        .usual = "ce + rld(T=4, alpha=1, beta=8, warmup=20)",
        .source = "Sun et al. 2024",
        .what = "refined logits: the teacher's confidence for the label, and kd of the classes that it ranks below the "
                "label; a wrong teacher teaches nothing wrong",
        .formula =
            "1 / n * sum_i (alpha * T1^2 * KL of the pairs (max t, 1 - max t) || (s_y, 1 - s_y) + beta * T^2 * KL of "
            "the softmaxes over the classes with a smaller teacher's logit than y)",
    },
    {
        .name = "wttm",
        .defaults = {.kind = LOSS_WTTM, .weight = 1, .gamma = 0.1f, .soften = SOFTEN},
        .parameters = wttm,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "ce + 4*wttm(gamma=0.2)",
        .source = "Zheng, Yang 2024",
        .what = "weighted transformed teacher matching: only the teacher's probabilities are flattened, and its unsure "
                "views weigh more",
        .formula = "mean_i w_i * KL(t^gamma / w_i || s), w_i = sum_k t_ik^gamma",
    },
    {
        .name = "abkd",
        .defaults = {.kind = LOSS_ABKD, .weight = 1, .temperature = 4, .alpha = 0.8f, .beta = 0.3f, .soften = SOFTEN},
        .parameters = abkd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "ce + 32*abkd(T=4, alpha=0.8, beta=0.3)",
        .source = "Wang et al. 2025",
        .what = "alpha-beta divergence of the probabilities, between forward and reverse KL",
        .formula =
            "-1 / (alpha beta) * mean_i sum_k (t^alpha s^beta - alpha / (alpha + beta) t^(alpha + beta) - beta / "
            "(alpha + beta) s^(alpha + beta))",
    },
    {
        .name = "mlkd",
        .defaults = {.kind = LOSS_MLKD, .weight = 1, .temperature = 4, .beta = 1, .gamma = 1, .soften = SOFTEN},
        .parameters = mlkd,
        .compares = COMPARES_LOGITS,
        .needs_teacher = true,
        .usual = "0.1*ce + 0.9*mlkd(T=4)",
        .source = "Jin, Wang, Lin 2023",
        .what = "kd at five temperatures, with the relations of the batch's samples and classes",
        .formula =
            "sum over T/2 .. 3T/2 of kd + beta / n * |S S^T - T T^T|^2 + gamma / C * |S^T S - T^T T|^2, S and T the "
            "probabilities [n, C]",
    },
    /* ---- on features, element by element ---- */
    {
        .name = "hint",
        .defaults = {.kind = LOSS_HINT, .weight = 1, .distance = DISTANCE_MSE},
        .parameters = hint,
        .compares = COMPARES_ELEMENTS,
        .needs_teacher = true,
        .usual = "ce + 100*hint(student=block5, teacher=layer2, regressor=conv1x1)",
        .source = "Romero et al. 2015 (FitNets)",
        .what = "mean squared difference of features; a regressor is trained beside the student",
        .formula = "mean over all elements of (f_s - f_t)^2, of that / mean f_t^2, or of smooth L1 (beta 1); summed "
                   "over pairs",
    },
    {
        .name = "at",
        .defaults = {.kind = LOSS_AT, .weight = 1},
        .parameters = pairs,
        .compares = COMPARES_PIXELS,
        .needs_teacher = true,
        .usual = "ce + 1000*at(student=[block3, block5], teacher=[layer2, layer3])",
        .source = "Zagoruyko, Komodakis 2017",
        .what = "attention maps: where features are large, averaged over channels",
        .formula = "mean over n and pixels of (Q_s - Q_t)^2, Q = (mean over channels of f^2) / its norm; summed over "
                   "pairs",
    },
    {
        .name = "cosine",
        .defaults = {.kind = LOSS_COSINE, .weight = 1},
        .parameters = cosine,
        .compares = COMPARES_ELEMENTS,
        .needs_teacher = true,
        .usual = "0.75*ce + 0.25*cosine(regressor=linear)",
        .source = "PyTorch's tutorial",
        .what = "1 - cosine of features",
        .formula = "mean over n of 1 - cos(f_s, f_t)",
    },
    {
        .name = "vid",
        .defaults = {.kind = LOSS_VID, .weight = 1, .variance = 5},
        .parameters = vid,
        .compares = COMPARES_ELEMENTS,
        .needs_teacher = true,
        .usual = "ce + vid(student=block5, teacher=layer2)",
        .source = "Ahn et al. 2019",
        .what = "Gaussian likelihood of the teacher's feature, with a trained regressor and trained variances",
        .formula = "mean over all elements of ((f_s - f_t)^2 / v + log v) / 2, v a trained variance per channel",
    },
    /* ---- on how the rows of a batch relate to one another ---- */
    {
        .name = "rkd_distance",
        .defaults = {.kind = LOSS_RKD_DISTANCE, .weight = 1, .distance = DISTANCE_HUBER, .scale = SCALE_MEAN},
        .parameters = rkd_distance,
        .compares = COMPARES_ROWS,
        .needs_teacher = true,
        .usual = "ce + 25*rkd_distance + 50*rkd_angle",
        .source = "Park et al. 2019",
        .what = "distances between the samples of a batch",
        .formula = "mean over n^2 of huber(d_s - d_t), d_ij = |x_i - x_j| divided by the mean of all d > 0",
    },
    {
        .name = "rkd_angle",
        .defaults = {.kind = LOSS_RKD_ANGLE, .weight = 1, .distance = DISTANCE_HUBER},
        .parameters = rkd_angle,
        .compares = COMPARES_ROWS,
        .needs_teacher = true,
        .usual = "ce + 25*rkd_distance + 50*rkd_angle",
        .source = "Park et al. 2019",
        .what = "angles between triples of samples",
        .formula = "mean over n^3 of huber(a_s - a_t), a_ijk = <e_ij, e_ik>, e_ij = (x_j - x_i) / |x_j - x_i|",
    },
    {
        .name = "dm",
        .defaults = {.kind = LOSS_RKD_DISTANCE, .weight = 1, .distance = DISTANCE_MSE, .scale = SCALE_NONE},
        .parameters = pairs,
        .compares = COMPARES_ROWS,
        .needs_teacher = true,
        .usual = "0.5*ce + 0.5*dm",
        .source = "ML2023 HW13",
        .what = "distances without scaling: rkd_distance(distance=mse, scale=none)",
        .formula = "mean over n^2 of (d_s - d_t)^2, d_ij = |x_i - x_j|",
    },
    {
        .name = "sp",
        .defaults = {.kind = LOSS_SP, .weight = 1},
        .parameters = pairs,
        .compares = COMPARES_ROWS,
        .needs_teacher = true,
        .usual = "ce + 3000*sp",
        .source = "Tung, Mori 2019",
        .what = "similarities between the samples of a batch",
        .formula = "|G_s - G_t|^2 / n^2, G = x x^T with its rows divided by their norms",
    },
    {
        .name = "pkt",
        .defaults = {.kind = LOSS_PKT, .weight = 1},
        .parameters = pairs,
        .compares = COMPARES_ROWS,
        .needs_teacher = true,
        .usual = "ce + 30000*pkt",
        .source = "Passalis, Tefas 2018",
        .what = "similarities as probabilities",
        .formula = "mean over n^2 of k_t log(k_t / k_s), k = (cos(x_i, x_j) + 1) / 2 divided by its row's sum",
    },
    /* ---- in trained embeddings ---- */
    {
        .name = "cc",
        .defaults = {.kind = LOSS_CC, .weight = 1},
        .parameters = pairs,
        .compares = COMPARES_EMBEDDINGS,
        .needs_teacher = true,
        .usual = "ce + 0.02*cc",
        .source = "Peng et al. 2019, as in RepDistiller",
        .what = "correlation of neighbouring samples in trained embeddings",
        .formula = "mean over i of sum_d |D_i| |D_{i+1}|, D = x_s - (W x_t + b), where x_s and W x_t + b have 128 "
                   "numbers",
    },
    {
        .name = "crd",
        .defaults = {.kind = LOSS_CRD, .weight = 1, .temperature = 0.07f, .negatives = 16384, .momentum = 0.5f},
        .parameters = crd,
        .compares = COMPARES_EMBEDDINGS,
        .needs_teacher = true,
        .usual = "ce + 0.8*crd(T=0.07, negatives=16384)",
        .source = "Tian, Krishnan, Isola 2020",
        .what = "contrast of a sample with a memory of all other samples, in trained embeddings",
        .formula = "noise-contrastive estimation between v_s and v_t, unit vectors of 128 numbers, and memories of all "
                   "samples' v",
    },
};

const int loss_entry_count = sizeof loss_entries / sizeof *loss_entries;

const struct loss_entry *loss_entry_find(const char *name)
{
    for (int i = 0; i < loss_entry_count; i++)
        if (strcmp(loss_entries[i].name, name) == 0)
            return &loss_entries[i];
    return NULL;
}

static const struct loss_parameter *find(const struct loss_parameter *list, const char *name)
{
    for (; list->name; list++)
        if (strcmp(list->name, name) == 0)
            return list;
    return NULL;
}

const struct loss_parameter *loss_parameter_find(const struct loss_entry *entry, const char *name)
{
    const struct loss_parameter *own = find(entry->parameters, name);
    return own ? own : find(loss_common_parameters, name);
}

void *loss_parameter_field(const struct loss_term *term, const struct loss_parameter *parameter)
{
    return (char *)(uintptr_t)term + parameter->offset;
}

bool loss_name_plain(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("._/:-", c));
}
