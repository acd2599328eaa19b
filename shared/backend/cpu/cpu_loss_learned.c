/* Terms with embeddings that are trained beside the student, and memory. */
#include "shared/backend/cpu/cpu_loss.h"

const struct cpu_term_kind cpu_learned_terms[LOSS_KIND_COUNT] = {{0}};
