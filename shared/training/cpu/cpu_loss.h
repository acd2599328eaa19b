/* The loss on the CPU: what a term computes on, and the row that each term's file fills. */
#ifndef SHARED_TRAINING_CPU_CPU_LOSS_H
#define SHARED_TRAINING_CPU_CPU_LOSS_H

#include "shared/training/cpu/cpu_training.h"

/* One call of a term: one student's part of a batch (struct loss_batch). Everything is borrowed.
 *
 * Terms on logits see `count` rows, terms on features the batch's first `rows`; see losses.h for the shapes. */
struct cpu_loss_args {
    struct device *device;
    const struct loss_term *term;
    const struct loss_shape *shape;
    const struct step_scalars *scalars; /* the step's, of this student */
    float weight;                       /* the step's: gradients are multiplied by it */
    int count, classes;
    const float *logits;           /* [count, classes] */
    const float *teacher_logits;   /* [count, classes] or NULL */
    float *gradient;               /* [count, classes] += weight * dL/dlogits; NULL: values only */
    const int32_t *labels;         /* [count], -1: none */
    const uint32_t *samples;       /* [count] */
    const struct view_mix *mixes;  /* [count] or NULL */
    const int32_t *partner_labels; /* [count] or NULL */
    int rows;             /* `count` for terms on logits. 0 only if there are parameter_gradients, which are written */
    const float *student; /* [rows, pixels, channels]; NULL: a term on logits */
    float *student_gradient;                   /* [rows, pixels, channels] += weight * dL/dstudent; NULL: values only */
    const float *teacher;                      /* [rows, teacher_pixels, teacher_channels] */
    const float *parameters[LEARNED_COUNT];    /* see enum loss_learned */
    float *parameter_gradients[LEARNED_COUNT]; /* = weight * dL/dparameters; NULL: values only */
    float *state[LEARNED_COUNT];
    const unsigned char *left_out; /* [count] rows that the gate leaves to other terms; NULL: none */
    void *scratch;                 /* as many bytes as the row's `scratch` says */
};

/* A row of the table in cpu_loss.c. */
struct cpu_loss {
    enum loss_kind kind;
    /* Adds the weighted gradients. Returns the value without the weight: a mean over the rows. */
    double (*add)(const struct cpu_loss_args *args);
    size_t (*scratch)(const struct loss_term *term, const struct loss_shape *shape); /* bytes; NULL: none */
};

/* losses/NAME.c */
extern const struct cpu_loss cpu_ce, cpu_kd, cpu_logit_mse, cpu_dkd, cpu_dist, cpu_nkd;
extern const struct cpu_loss cpu_rld, cpu_wttm, cpu_abkd, cpu_mlkd;
extern const struct cpu_loss cpu_hint, cpu_at, cpu_cosine, cpu_vid;
extern const struct cpu_loss cpu_rkd_distance, cpu_rkd_angle, cpu_sp, cpu_pkt;
extern const struct cpu_loss cpu_cc, cpu_crd;

/* The arguments of term `index` for a student, but for the term itself. */
struct cpu_loss_args cpu_loss_args_of(struct device *device, const struct loss_batch *batch, int index, int student);

/* Makes the teacher's logits those of the term's gate, in the front of its scratch memory. */
void cpu_gate(struct cpu_loss_args *args); /* losses/gate.c */

enum status cpu_metrics(struct device *device, const struct loss_batch *batch,
                        struct error *err); /* losses/metrics.c */

#endif
