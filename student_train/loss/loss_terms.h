/* The table of loss terms: names, parameters, defaults, and their descriptions. The table computes nothing: a term's
 * kind selects the function in shared/training/losses. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_TERMS_H
#define STUDENT_TRAIN_LOSS_LOSS_TERMS_H

#include "student_train/loss/loss_expression.h"

enum loss_parameter_type {
    PARAMETER_NUMBER, /* a float of struct loss_term in [low, high) */
    PARAMETER_WORD,   /* an enum of struct loss_term, in the order of the words */
    PARAMETER_FLAG,   /* a bool of struct loss_term: no, yes */
    PARAMETER_STUDENT,
    PARAMETER_TEACHER,
    PARAMETER_REGRESSOR
};

struct loss_parameter {
    const char *name, *meaning;
    enum loss_parameter_type type;
    size_t offset; /* in struct loss_term */
    float low, high;
    const char *const *words; /* ends with NULL */
    bool always;              /* written out even at its default */
};

/* What a term compares. */
enum loss_compares {
    COMPARES_LOGITS,
    COMPARES_LOGITS_OR_FEATURE, /* the logits, or the student's feature if student= is given */
    COMPARES_ELEMENTS,          /* features of the same shape, element by element */
    COMPARES_PIXELS,            /* features of the same height and width */
    COMPARES_ROWS,              /* features of any shapes, as rows of a batch */
    COMPARES_EMBEDDINGS /* features of any shapes; the student's goes through a linear layer to LOSS_EMBEDDING */
};

struct loss_entry {
    const char *name;
    struct loss_term defaults;               /* with the term's kind, and weight 1 */
    const struct loss_parameter *parameters; /* ends with a parameter without a name */
    enum loss_compares compares;
    bool needs_teacher, needs_labels;
    const char *usual;   /* an expression with the paper's weights */
    const char *source;  /* "Hinton, Vinyals, Dean 2015"; "" if there is none */
    const char *what;    /* one line */
    const char *formula; /* in the notation of shared/training/losses/losses.h */
};

extern const struct loss_entry loss_entries[];
extern const int loss_entry_count;

/* The parameters that every term has; ends with a parameter without a name. */
extern const struct loss_parameter loss_common_parameters[];

/* A term by name, or NULL. */
const struct loss_entry *loss_entry_find(const char *name);
/* A parameter of a term by name, or NULL. */
const struct loss_parameter *loss_parameter_find(const struct loss_entry *entry, const char *name);
/* Where a term stores a parameter's value. */
void *loss_parameter_field(const struct loss_term *term, const struct loss_parameter *parameter);
/* True for a character that needs no quotes in a feature's name. */
bool loss_name_plain(char c);

/* ---- loss_expression_text.c ---- */
/* Writes expression->text; false if it does not fit. */
bool loss_expression_write(struct loss_expression *expression);

#endif
