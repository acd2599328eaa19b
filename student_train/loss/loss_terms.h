/* The table of loss terms: names, parameters, defaults, and what is said about them. */
#ifndef STUDENT_TRAIN_LOSS_LOSS_TERMS_H
#define STUDENT_TRAIN_LOSS_LOSS_TERMS_H

#include "student_train/loss/loss_expression.h"

enum loss_parameter_type {
    PARAMETER_NUMBER, /* a float of struct loss_term in [low, high) */
    PARAMETER_WORD,   /* an enum of it, in the order of the words */
    PARAMETER_FLAG,   /* a bool of it: no, yes */
    PARAMETER_STUDENT,
    PARAMETER_TEACHER,
    PARAMETER_REGRESSOR
};

struct loss_parameter {
    const char *name;
    enum loss_parameter_type type;
    size_t offset; /* in struct loss_term */
    float low, high;
    const char *const *words; /* ends with NULL */
    bool always;              /* written out even at its default */
};

enum loss_compared {
    VALUES_NONE,     /* a term on logits */
    VALUES_OPTIONAL, /* on logits unless student= is given */
    VALUES_EQUAL,    /* of student and teacher, element by element: the same shape */
    VALUES_PIXELS,   /* the same height and width */
    VALUES_ANY,      /* of any shapes */
    VALUES_EMBEDDED  /* of any shapes; the student's goes through a linear layer to LOSS_EMBEDDING */
};

struct loss_entry {
    const char *name;
    struct loss_term defaults; /* with its kind and weight 1 */
    const struct loss_parameter *parameters;
    enum loss_compared values;
    bool needs_teacher, needs_labels;
    const char *usual;   /* an expression with the paper's weights */
    const char *source;  /* "Hinton, Vinyals, Dean 2015" */
    const char *what;    /* one line */
    const char *formula; /* shared/training/losses/losses.h has the notation */
};

extern const struct loss_entry loss_entries[];
extern const int loss_entry_count;

/* The parameters that every term has. Both lists end with a parameter without a name. */
extern const struct loss_parameter loss_common_parameters[];

/* A parameter of a term by name, or NULL. */
const struct loss_parameter *loss_parameter_find(const struct loss_entry *entry, const char *name);
/* Where a term keeps a parameter. */
void *loss_parameter_field(const struct loss_term *term, const struct loss_parameter *parameter);
/* A character of a value's name that needs no quotes. */
bool loss_name_plain(char c);

/* ---- loss_text.c ---- */
/* Writes expression->text; false where it does not fit. */
bool loss_expression_write(struct loss_expression *expression);

#endif
