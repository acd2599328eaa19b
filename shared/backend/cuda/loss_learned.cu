/* Terms with embeddings that are trained beside the student, and memory. */
#include "shared/backend/cuda/cuda_loss.h"

extern "C" const struct cuda_term_kind cuda_learned_terms[LOSS_KIND_COUNT] = {};
