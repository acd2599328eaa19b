/* Terms that compare a student's value with a teacher's, element by element. */
#include "shared/backend/cpu/cpu_loss.h"

const struct cpu_term_kind cpu_feature_terms[LOSS_KIND_COUNT] = {{0}};
