/* What the loss terms share on the CPU: one student's view of a batch, and the families' tables of terms. */
#ifndef SHARED_TRAINING_CPU_CPU_LOSS_H
#define SHARED_TRAINING_CPU_CPU_LOSS_H

#include "shared/training/cpu/cpu_training.h"

struct cpu_term {
    struct device *device;
    const struct loss_term *term;
    const struct loss_shape *shape;
    const struct step_scalars *scalars; /* of the step and student */
    float weight;                       /* the step's: gradients are multiplied with it */
    int count, classes;
    const float *logits, *teacher_logits; /* [count, classes]; the teacher's may be NULL */
    float *gradient;                      /* [count, classes] or NULL */
    const int32_t *labels;                /* [count] */
    const uint32_t *samples;              /* [count] */
    const struct view_mix *mixes;         /* [count] or NULL */
    const int32_t *partner_labels;        /* [count] or NULL */
    int rows;             /* of the values: the first `rows` of the batch; 0 only where there are parameter_gradients */
    const float *student; /* [rows, shape->pixels, shape->channels]; NULL: a term on logits */
    float *student_gradient; /* the same, or NULL */
    const float *teacher;    /* [rows, shape->teacher_pixels, shape->teacher_channels] */
    const float *parameters[LEARNED_COUNT];
    float *parameter_gradients[LEARNED_COUNT];
    float *state[LEARNED_COUNT];
    void *scratch; /* of `scratch` below bytes */
};

struct cpu_term_kind {
    /* Returns the term's value (unweighted) and adds its weighted gradients. NULL: not of this family. */
    double (*value)(const struct cpu_term *t);
    size_t (*scratch)(const struct loss_term *term, const struct loss_shape *shape); /* NULL: none */
};

/* One file each. */
extern const struct cpu_term_kind cpu_logit_terms[LOSS_KIND_COUNT];
extern const struct cpu_term_kind cpu_feature_terms[LOSS_KIND_COUNT];
extern const struct cpu_term_kind cpu_relation_terms[LOSS_KIND_COUNT];
extern const struct cpu_term_kind cpu_learned_terms[LOSS_KIND_COUNT];

#endif
