#include "student_train/loss/loss_terms.h"

#include <ctype.h>
#include <string.h>

static const char *const reductions[] = {"batchmean", "mean", NULL};
static const char *const forms[] = {"kl", "printed", NULL};
static const char *const flags[] = {"no", "yes", NULL};
static const char *const hint_distances[] = {"smooth_l1", "mse", NULL};
static const char *const relation_distances[] = {"huber", "mse", NULL};
static const char *const scales[] = {"mean", "none", NULL};
static const char *const regressors[] = {"none", "conv1x1", "conv3x3", "linear", NULL};

/* clang-format off */
#define NUMBER(name, field, low, high) {name, PARAMETER_NUMBER, offsetof(struct loss_term, field), low, high, NULL, false}
#define WORD(name, field, words) {name, PARAMETER_WORD, offsetof(struct loss_term, field), 0, 0, words, false}
#define TEMPERATURE {"T", PARAMETER_NUMBER, offsetof(struct loss_term, temperature), 1e-3f, 1e4f, NULL, true}
#define STANDARDISE {"standardise", PARAMETER_FLAG, offsetof(struct loss_term, standardise), 0, 0, flags, false}
#define STUDENT {"student", PARAMETER_STUDENT, 0, 0, 0, NULL, false}
#define PAIRS STUDENT, {"teacher", PARAMETER_TEACHER, 0, 0, 0, NULL, false}
#define REGRESSOR {"regressor", PARAMETER_REGRESSOR, 0, 0, 0, regressors, false}

const struct loss_parameter loss_common_parameters[] = {
    NUMBER("warmup", warmup, 0, 1e6f), NUMBER("ramp", ramp, 0, 1e6f), NUMBER("ramp_epochs", ramp_epochs, 0, 1e6f), {0}};

static const struct loss_parameter
    ce[] = {NUMBER("label_smoothing", label_smoothing, 0, 1), STUDENT, {0}},
    kd[] = {TEMPERATURE, WORD("reduction", reduction, reductions), STANDARDISE, WORD("form", form, forms), {0}},
    lskd[] = {TEMPERATURE, WORD("reduction", reduction, reductions), {0}},
    dkd[] = {TEMPERATURE, NUMBER("alpha", alpha, 0, 1e6f), NUMBER("beta", beta, 0, 1e6f), STANDARDISE, {0}},
    dist[] = {TEMPERATURE, NUMBER("beta", beta, 0, 1e6f), NUMBER("gamma", gamma, 0, 1e6f), {0}},
    nkd[] = {TEMPERATURE, NUMBER("gamma", gamma, 0, 1e6f), {0}},
    hint[] = {PAIRS, REGRESSOR, WORD("distance", distance, hint_distances), {0}},
    cosine[] = {PAIRS, REGRESSOR, {0}},
    vid[] = {PAIRS, NUMBER("variance", variance, 1e-3f, 1e6f), {0}},
    rkd_distance[] = {PAIRS, WORD("distance", distance, relation_distances), WORD("scale", scale, scales), {0}},
    rkd_angle[] = {PAIRS, WORD("distance", distance, relation_distances), {0}},
    pairs[] = {PAIRS, {0}},
    crd[] = {PAIRS, TEMPERATURE, NUMBER("negatives", negatives, 1, 1e6f), NUMBER("momentum", momentum, 0, 1), {0}},
    none[] = {{0}};

const struct loss_entry loss_entries[] = {
    {"ce", {.kind = LOSS_CE, .weight = 1}, ce, VALUES_OPTIONAL, false, true, "ce", "",
     "cross entropy with the labels; student=VALUE takes its channels as class scores",
     "-log p_y, p = softmax(s), averaged over the rows that have a label; label_smoothing e: the target is (1 - e) * onehot(y) + e / C; of mixed "
     "views lambda * onehot(y) + (1 - lambda) * onehot(y')"},
    {"kd", {.kind = LOSS_KD, .weight = 1, .temperature = 4}, kd, VALUES_NONE, true, false, "0.1*ce + 0.9*kd(T=4)",
     "Hinton, Vinyals, Dean 2015", "T^2 KL(softmax(teacher/T) || softmax(student/T)); reduction=mean divides by the classes, too",
     "T^2 / n * sum_ik t_ik (log t_ik - log s_ik), softmax(z / T) each; reduction=mean: divided by C as well; form=printed: s_ik in place of log "
     "s_ik, which is no divergence"},
    {"lskd", {.kind = LOSS_KD, .weight = 1, .temperature = 2, .standardise = true}, lskd, VALUES_NONE, true, false,
     "0.1*ce + 9*lskd(T=2)", "Sun et al. 2024", "kd of logits standardised row by row: kd(standardise=yes)",
     "kd of z -> (z - mean) / (std + 1e-7), row by row, of student and teacher"},
    {"logit_mse", {.kind = LOSS_LOGIT_MSE, .weight = 1}, none, VALUES_NONE, true, false, "ce + 0.1*logit_mse", "Ba, Caruana 2014",
     "mean squared difference of the logits",
     "mean over n and C of (s - t)^2"},
    {"dkd", {.kind = LOSS_DKD, .weight = 1, .temperature = 4, .alpha = 1, .beta = 8}, dkd, VALUES_NONE, true, true,
     "ce + dkd(T=4, alpha=1, beta=8, warmup=20)", "Zhao et al. 2022", "kd taken apart: target class against the rest, and among the rest",
     "T^2 / n * sum_i (alpha * TCKD + beta * NCKD): TCKD = KL of the pairs (p_y, 1 - p_y), NCKD = KL of the softmaxes over the classes other than y"},
    {"dist", {.kind = LOSS_DIST, .weight = 1, .temperature = 4, .beta = 1, .gamma = 1}, dist, VALUES_NONE, true, false,
     "ce + 2*dist(T=4)", "Huang et al. 2022", "correlation of the probabilities within rows and within classes",
     "T^2 * (beta * (1 - mean_i pearson(row i)) + gamma * (1 - mean_k pearson(column k))) of softmax(z / T)"},
    {"nkd", {.kind = LOSS_NKD, .weight = 1, .temperature = 1, .gamma = 1.5f}, nkd, VALUES_NONE, true, true, "ce + nkd(T=1, gamma=1.5)",
     "Yang et al. 2023", "soft target of the label, and normalised kd of the other classes",
     "-mean(t_y log s_y) - gamma * T^2 * mean_i sum_{k != y} t'_k log s'_k, ' = softmax(z / T) over the classes other than y"},
    {"hint", {.kind = LOSS_HINT, .weight = 1, .distance = DISTANCE_MSE}, hint, VALUES_EQUAL, true, false,
     "ce + 100*hint(student=block5, teacher=layer2, regressor=conv1x1)", "Romero et al. 2015 (FitNets)", "mean squared difference of values; regressor is trained beside the student",
     "mean over all elements of (f_s - f_t)^2, or smooth L1 (beta 1); summed over pairs"},
    {"at", {.kind = LOSS_AT, .weight = 1}, pairs, VALUES_PIXELS, true, false, "ce + 1000*at(student=[block3, block5], teacher=[layer2, layer3])",
     "Zagoruyko, Komodakis 2017", "attention maps: where the values are large, channels apart",
     "mean over n and pixels of (Q_s - Q_t)^2, Q = (mean over channels of f^2) / its norm; summed over pairs"},
    {"cosine", {.kind = LOSS_COSINE, .weight = 1}, cosine, VALUES_EQUAL, true, false, "0.75*ce + 0.25*cosine(regressor=linear)", "PyTorch's tutorial", "1 - cosine of values",
     "mean over n of 1 - cos(f_s, f_t)"},
    {"vid", {.kind = LOSS_VID, .weight = 1, .variance = 5}, vid, VALUES_EQUAL, true, false, "ce + vid(student=block5, teacher=layer2)",
     "Ahn et al. 2019", "Gaussian likelihood of the teacher's value, with trained regressor and variances",
     "mean over all elements of ((f_s - f_t)^2 / v + log v) / 2, v a trained variance a channel"},
    {"rkd_distance", {.kind = LOSS_RKD_DISTANCE, .weight = 1, .distance = DISTANCE_HUBER, .scale = SCALE_MEAN}, rkd_distance, VALUES_ANY, true, false,
     "ce + 25*rkd_distance + 50*rkd_angle", "Park et al. 2019", "distances between the samples of a batch",
     "mean over n^2 of huber(d_s - d_t), d_ij = |x_i - x_j| divided by the mean of all d > 0"},
    {"rkd_angle", {.kind = LOSS_RKD_ANGLE, .weight = 1, .distance = DISTANCE_HUBER}, rkd_angle, VALUES_ANY, true, false, "ce + 25*rkd_distance + 50*rkd_angle",
     "Park et al. 2019", "angles between triples of samples",
     "mean over n^3 of huber(a_s - a_t), a_ijk = <e_ij, e_ik>, e_ij = (x_j - x_i) / |x_j - x_i|"},
    {"dm", {.kind = LOSS_RKD_DISTANCE, .weight = 1, .distance = DISTANCE_MSE, .scale = SCALE_NONE}, pairs, VALUES_ANY, true, false, "0.5*ce + 0.5*dm",
     "ML2023 HW13", "distances as they are: rkd_distance(distance=mse, scale=none)",
     "mean over n^2 of (d_s - d_t)^2, d_ij = |x_i - x_j|"},
    {"sp", {.kind = LOSS_SP, .weight = 1}, pairs, VALUES_ANY, true, false, "ce + 3000*sp", "Tung, Mori 2019", "similarities between the samples of a batch",
     "|G_s - G_t|^2 / n^2, G = x x^T with its rows divided by their norms"},
    {"pkt", {.kind = LOSS_PKT, .weight = 1}, pairs, VALUES_ANY, true, false, "ce + 30000*pkt", "Passalis, Tefas 2018", "similarities as probabilities",
     "mean over n^2 of k_t log(k_t / k_s), k = (cos(x_i, x_j) + 1) / 2 divided by its row's sum"},
    {"cc", {.kind = LOSS_CC, .weight = 1}, pairs, VALUES_EMBEDDED, true, false, "ce + 0.02*cc", "Peng et al. 2019, as RepDistiller",
     "correlation of neighbours in trained embeddings",
     "mean over i of sum_d |D_i| |D_{i+1}|, D = x_s - (W x_t + b), x_s and W x_t + b of 128 numbers"},
    {"crd", {.kind = LOSS_CRD, .weight = 1, .temperature = 0.07f, .negatives = 16384, .momentum = 0.5f}, crd, VALUES_EMBEDDED, true, false,
     "ce + 0.8*crd(T=0.07, negatives=16384)", "Tian, Krishnan, Isola 2020", "contrast of a sample against a memory of all others, in trained embeddings",
     "noise-contrastive estimation between v_s and v_t, unit vectors of 128 numbers, and memories of all samples' v"},
};
/* clang-format on */

const int loss_entry_count = sizeof loss_entries / sizeof *loss_entries;

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
