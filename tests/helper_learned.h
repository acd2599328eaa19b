/* Inputs of the terms with trained embeddings and memory, their results, and PyTorch's results for comparison:
 * tests/golden/losses_relations.h5. */
#ifndef TESTS_HELPER_LEARNED_H
#define TESTS_HELPER_LEARNED_H

#include "tests/helper_golden.h"
#include "tests/helper_loss.h"

enum { ROWS = 8, TEACHER = 24, SIZE = LOSS_EMBEDDING, SAMPLES = 40, NEGATIVES = 21 };
enum {
    WEIGHTS = SIZE * TEACHER,
    PARAMETERS = WEIGHTS + SIZE,
    MEMORY = SAMPLES * SIZE,
    STATE = 2 * MEMORY + 2,
    VALUES = ROWS * SIZE
};
/* crd compares embeddings in float, and its exponents are 14 times as large. */
static const double LEARNED_TOLERANCE = 2e-6;

extern const struct loss_term learned_cc, learned_crd; /* of weight 1 */

/* In the layout of the terms: the parameters are W and b, the state is both memories and the normalisers. */
struct learned_inputs {
    struct golden golden;
    float *student, *teacher;
    float parameters[PARAMETERS], state[STATE];
    uint32_t samples[ROWS];
};

void learned_inputs_init(struct learned_inputs *f);
void learned_inputs_release(struct learned_inputs *f);
/* One student, all rows. Borrows the inputs. */
struct loss_case learned_case(struct learned_inputs *f, const struct loss_term *term);

/* Of one student. */
struct learned_result {
    double value;
    float student[VALUES], parameters[PARAMETERS];
};

void learned_run(const struct test_device *t, const struct loss_case *c, struct learned_result *o);

/* Fail the test unless value and gradients are those of the entry of the file; unless a value is the expected one. */
void learned_check_gradients(const struct golden *g, const struct learned_result *o, const char *entry);
void learned_check_value(double got, double expected, double tolerance);

#endif
