/* Terms that compare a student's value with a teacher's, element by element. */
#include "shared/backend/cuda/cuda_loss.h"

extern "C" const struct cuda_term_kind cuda_feature_terms[LOSS_KIND_COUNT] = {};
