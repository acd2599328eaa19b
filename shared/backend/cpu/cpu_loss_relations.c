/* Terms that compare how the rows of a batch lie to one another. */
#include "shared/backend/cpu/cpu_loss.h"

const struct cpu_term_kind cpu_relation_terms[LOSS_KIND_COUNT] = {{0}};
