/* The functions of student.c, and a call of one for every layer. */
#include "formats/export/student_c_writer.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

/* shared/graph/activation.h as expressions of x, alpha and beta. */
static const char *const activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = "x > 0 ? x : 0",
    [ACTIVATION_LEAKY_RELU] = "x > 0 ? x : alpha * x",
    [ACTIVATION_CLIP] = "x < alpha ? alpha : x > beta ? beta : x",
    [ACTIVATION_HARD_SIGMOID] = "fminf(fmaxf(alpha * x + beta, 0), 1)",
    [ACTIVATION_HARD_SWISH] = "x * fminf(fmaxf(x / 6 + 0.5f, 0), 1)",
    [ACTIVATION_SIGMOID] = "1 / (1 + expf(-x))",
    [ACTIVATION_SILU] = "x / (1 + expf(-alpha * x))",
    [ACTIVATION_ELU] = "x > 0 ? x : alpha * expm1f(x)",
    [ACTIVATION_SELU] = "beta * (x > 0 ? x : alpha * expm1f(x))",
    [ACTIVATION_CELU] = "x > 0 ? x : alpha * expm1f(x / alpha)",
    [ACTIVATION_GELU] = "x * 0.5f * (1 + erff(x * 0.70710678f))",
    [ACTIVATION_GELU_TANH] = "x / 2 * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)))",
    [ACTIVATION_MISH] = "x * tanhf((x > 0 ? x : 0) + log1pf(expf(-fabsf(x))))",
    [ACTIVATION_TANH] = "tanhf(x)",
    [ACTIVATION_SOFTPLUS] = "(x > 0 ? x : 0) + log1pf(expf(-fabsf(x)))",
    [ACTIVATION_SOFTSIGN] = "x / (1 + fabsf(x))",
    [ACTIVATION_ABS] = "fabsf(x)",
};

static void put_kernel(struct student_c_writer *writer, const char *name)
{
    for (int i = 0; i < kernel_text_count; i++)
        if (strcmp(kernel_texts[i].name, name) == 0) {
            fprintf(writer->out, "%s\n", kernel_texts[i].text);
            return;
        }
    abort(); /* every kind has its text */
}

static bool has(const struct lowered *lowered, enum lowered_kind kind)
{
    for (int s = 0; s < lowered->step_count; s++)
        if (lowered->steps[s].kind == kind)
            return true;
    return false;
}

/* The earliest step with the same activation: its number is the function's. */
static int activation_number(const struct lowered *lowered, int s)
{
    const struct lowered_step *step = &lowered->steps[s];
    for (int i = 0; i < s; i++)
        if (lowered->steps[i].kind == LOWERED_ACTIVATION && lowered->steps[i].activation == step->activation &&
            lowered->steps[i].alpha == step->alpha && lowered->steps[i].beta == step->beta)
            return i;
    return s;
}

static void put_activation(struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const char *expression = activations[step->activation];
    fprintf(writer->out,
            "/* %s; may be in place. */\nstatic void activation_%d(int count, const float *in, float *out)\n{\n",
            activation_name(step->activation), s);
    if (strstr(expression, "alpha"))
        fprintf(writer->out, "    const float alpha = %.9ef;\n", (double)step->alpha);
    if (strstr(expression, "beta"))
        fprintf(writer->out, "    const float beta = %.9ef;\n", (double)step->beta);
    fprintf(writer->out,
            "    for (int i = 0; i < count; i++) {\n        const float x = in[i];\n        out[i] = %s;\n    }\n}\n\n",
            expression);
}

bool student_c_functions(struct student_c_writer *writer, const char **missing)
{
    const struct lowered *lowered = writer->student->lowered;
    const bool int8 = writer->student->int8;
    char name[40];
    put_kernel(writer, "window");
    if (int8)
        put_kernel(writer, "requantise");
    else if (has(lowered, LOWERED_CONV) || has(lowered, LOWERED_DEPTHWISE) || has(lowered, LOWERED_ADD))
        put_kernel(writer, "clamp_float");
    for (int kind = 0; kind < LOWERED_KIND_COUNT; kind++) {
        snprintf(name, sizeof name, "%s_%s", lowered_kernel_names[kind], int8 ? "int8" : "float");
        if (has(lowered, (enum lowered_kind)kind) && (int8 || kind != LOWERED_ACTIVATION))
            put_kernel(writer, name);
    }
    for (int s = 0; !int8 && s < lowered->step_count; s++) {
        if (lowered->steps[s].kind != LOWERED_ACTIVATION || activation_number(lowered, s) != s)
            continue;
        *missing = activation_name(lowered->steps[s].activation);
        if (!activations[lowered->steps[s].activation])
            return false;
        put_activation(writer, s);
    }
    put_kernel(writer, "resize");
    return true;
}

/* ---- calls ---- */
static size_t offset(const struct student_c_writer *writer, int value)
{
    return writer->student->lowered->values[value].offset;
}

static int zero(const struct student_c_writer *writer, int value)
{
    return writer->student->int8->values[value].zero;
}

static void put_float(FILE *out, float value)
{
    if (value == FLT_MAX || value == -FLT_MAX)
        fprintf(out, "%sFLT_MAX", value < 0 ? "-" : "");
    else
        fprintf(out, "%.9ef", (double)value);
}

/* ", &(const struct scaling){...}" */
static void put_scaling(const struct student_c_writer *writer, int s)
{
    const struct int8_step *numbers = &writer->student->int8->steps[s];
    const char *name = writer->names[s];
    fprintf(writer->out, "&(const struct scaling){%s_multiplier, %s_shift, %d, %d, %d}", name, name,
            zero(writer, writer->student->lowered->steps[s].output), numbers->low, numbers->high);
}

static void put_in_out(const struct student_c_writer *writer, const struct lowered_step *step)
{
    fprintf(writer->out, "arena + %zu, arena + %zu);\n", offset(writer, step->inputs[0]), offset(writer, step->output));
}

static void call_conv(const struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const char *name = writer->names[s];
    fprintf(writer->out, "    %s_%s(&%s, %s_weight, %s_bias,\n        ", lowered_kernel_names[step->kind],
            writer->student->int8 ? "int8" : "float", name, name, name);
    if (writer->student->int8) {
        fprintf(writer->out, "%d, ", zero(writer, step->inputs[0]));
        put_scaling(writer, s);
    } else {
        put_float(writer->out, step->low);
        fputs(", ", writer->out);
        put_float(writer->out, step->high);
    }
    fputs(",\n        ", writer->out);
    put_in_out(writer, step);
}

static void call_add(const struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const bool int8 = writer->student->int8;
    const size_t count = writer->student->lowered->values[step->output].count;
    fprintf(writer->out, "    add_%s(%zu, %d, (const %s *const[]){", int8 ? "int8" : "float", count, step->input_count,
            int8 ? "int8_t" : "float");
    for (int k = 0; k < step->input_count; k++)
        fprintf(writer->out, "%sarena + %zu", k ? ", " : "", offset(writer, step->inputs[k]));
    fputs("}, ", writer->out);
    if (int8) {
        const struct int8_step *numbers = &writer->student->int8->steps[s];
        fputs("(const int[]){", writer->out);
        for (int k = 0; k < step->input_count; k++)
            fprintf(writer->out, "%s%d", k ? ", " : "", zero(writer, step->inputs[k]));
        fprintf(writer->out, "}, %s_multiplier, %d, %d, %d, %d", writer->names[s], numbers->shift[0],
                zero(writer, step->output), numbers->low, numbers->high);
    } else {
        put_float(writer->out, step->low);
        fputs(", ", writer->out);
        put_float(writer->out, step->high);
    }
    fprintf(writer->out, ", arena + %zu);\n", offset(writer, step->output));
}

static void call_multiply(const struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const struct window *w = &step->window;
    const bool int8 = writer->student->int8;
    fprintf(writer->out, "    multiply_%s(%d, %d, arena + %zu, ", int8 ? "int8" : "float", w->in_h * w->in_w, w->in_c,
            offset(writer, step->inputs[0]));
    if (int8)
        fprintf(writer->out, "%d, ", zero(writer, step->inputs[0]));
    fprintf(writer->out, "arena + %zu, ", offset(writer, step->inputs[1]));
    if (int8)
        fprintf(writer->out, "%d, ", zero(writer, step->inputs[1]));
    fprintf(writer->out, "%d, %d, ", step->pixel_step, step->channel_step);
    if (int8) {
        put_scaling(writer, s);
        fputs(", ", writer->out);
    }
    fprintf(writer->out, "arena + %zu);\n", offset(writer, step->output));
}

static void call_concat(const struct student_c_writer *writer, int s)
{
    const struct lowered *lowered = writer->student->lowered;
    const struct lowered_step *step = &lowered->steps[s];
    const struct shape to = lowered->values[step->output].shape;
    size_t out = offset(writer, step->output);
    for (int k = 0; k < step->input_count; k++) {
        const struct shape from = lowered->values[step->inputs[k]].shape;
        fprintf(writer->out, "    concat_%s(%d, %d, arena + %zu, ", writer->student->int8 ? "int8" : "float",
                from.h * from.w, from.c, offset(writer, step->inputs[k]));
        if (writer->student->int8)
            fprintf(writer->out, "%d, %ld, %d, %d, ", zero(writer, step->inputs[k]),
                    (long)writer->student->int8->steps[s].multiplier[k], writer->student->int8->steps[s].shift[k],
                    zero(writer, step->output));
        fprintf(writer->out, "arena + %zu, %d);\n", out, to.c);
        out += (size_t)from.c;
    }
}

/* Pools, mean, pad: int8 ones also have a zero point, and averages a scaling. */
static void call_pool(const struct student_c_writer *writer, int s)
{
    const struct lowered_step *step = &writer->student->lowered->steps[s];
    const struct window *w = &step->window;
    const bool int8 = writer->student->int8, average = step->kind == LOWERED_AVERAGE_POOL;
    fprintf(writer->out, "    %s_%s(", lowered_kernel_names[step->kind], int8 ? "int8" : "float");
    if (step->kind == LOWERED_MEAN)
        fprintf(writer->out, "%d, %d, ", w->in_h * w->in_w, w->in_c);
    else
        fprintf(writer->out, "&%s, ", writer->names[s]);
    if (average)
        fprintf(writer->out, "%d, ", step->count_padding);
    if (int8 && step->kind != LOWERED_MAX_POOL)
        fprintf(writer->out, "%d, ", zero(writer, step->inputs[0]));
    if (int8 && (average || step->kind == LOWERED_MEAN)) {
        put_scaling(writer, s);
        fputs(", ", writer->out);
    }
    put_in_out(writer, step);
}

static void call_step(const struct student_c_writer *writer, int s)
{
    const struct lowered *lowered = writer->student->lowered;
    const struct lowered_step *step = &lowered->steps[s];
    const struct window *w = &step->window;
    const size_t count = lowered->values[step->output].count;
    switch (step->kind) {
    case LOWERED_CONV:
    case LOWERED_DEPTHWISE:
        call_conv(writer, s);
        break;
    case LOWERED_ACTIVATION:
        if (writer->student->int8)
            fprintf(writer->out, "    table_int8(%zu, %s_table, ", count, writer->names[s]);
        else
            fprintf(writer->out, "    activation_%d(%zu, ", activation_number(lowered, s), count);
        put_in_out(writer, step);
        break;
    case LOWERED_ADD:
        call_add(writer, s);
        break;
    case LOWERED_MULTIPLY:
        call_multiply(writer, s);
        break;
    case LOWERED_SELECT:
        fprintf(writer->out, "    select_%s(%d, %d, %d, %s_from, ", writer->student->int8 ? "int8" : "float",
                w->in_h * w->in_w, w->in_c, w->out_c, writer->names[s]);
        put_in_out(writer, step);
        break;
    case LOWERED_CONCAT:
        call_concat(writer, s);
        break;
    case LOWERED_MAX_POOL:
    case LOWERED_AVERAGE_POOL:
    case LOWERED_MEAN:
    case LOWERED_PAD:
        call_pool(writer, s);
        break;
    case LOWERED_KIND_COUNT:
        break;
    }
}

void student_c_calls(struct student_c_writer *writer)
{
    const struct lowered *lowered = writer->student->lowered;
    for (int s = 0; s < lowered->step_count; s++) {
        const struct lowered_value *value = &lowered->values[lowered->steps[s].output];
        fputs("    /* ", writer->out);
        student_c_comment(writer->out, lowered->graph.nodes[lowered->steps[s].node].name);
        if (value->node != lowered->steps[s].node) {
            fputs(", ", writer->out);
            student_c_comment(writer->out, lowered->graph.nodes[value->node].name);
        }
        fprintf(writer->out, ": %d x %d x %d */\n", value->shape.h, value->shape.w, value->shape.c);
        call_step(writer, s);
    }
}
