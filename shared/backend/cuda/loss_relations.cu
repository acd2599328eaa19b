/* Terms that compare how the rows of a batch lie to one another. */
#include "shared/backend/cuda/cuda_loss.h"

extern "C" const struct cuda_term_kind cuda_relation_terms[LOSS_KIND_COUNT] = {};
