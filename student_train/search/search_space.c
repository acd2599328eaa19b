#include "student_train/search/search_space.h"

#include "formats/net/net_text.h"
#include "shared/base/random.h"
#include "shared/quantise/lowered.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STAGES = 6, MAX_ATTEMPTS = 200, SMALL_SIZE = 64, LAST_MAP = 8, LEAST_WIDTH = 8, WIDTH_STEP = 4 };
static const double WIDEST = 6, NARROWEST = 0.05, NARROWER = 0.93; /* factors of all widths that are tried in turn */
static const double LEAST_FILL = 0.85; /* of the parameters that are allowed, if no other limit is met first */

/* A net before its widths are known. */
struct design {
    int stem, stem_kernel, stem_stride;
    bool inverted;
    int stages;
    struct stage {
        int blocks, kernel, expansion;
        double width;
    } stage[MAX_STAGES];
    double head; /* a last pointwise convolution of so many times the last width; 0: none */
    const char *activation;
    int squeeze; /* squeeze and excitation through 1 / squeeze of the block's inner channels; 0: none */
    double fill; /* share of the parameters that the net may have */
};

static int one_of(struct random_stream *stream, const int *values, int count)
{
    return values[random_below(stream, (uint32_t)count)];
}
#define ONE_OF(stream, ...) one_of(stream, (const int[]){__VA_ARGS__}, (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)))

static void draw(struct design *design, struct random_stream *stream, int size)
{
    static const char *const activations[] = {"relu", "hardswish", "silu"};
    const bool small = size <= SMALL_SIZE;
    *design = (struct design){.stem_kernel = 3, .stem_stride = small ? 1 : 2};
    if (size > 2 * SMALL_SIZE && random_below(stream, 4) == 0) /* patches, as ConvNeXt has them */
        design->stem_kernel = design->stem_stride = 4;
    design->stem = ONE_OF(stream, 12, 16, 24, 32);
    design->inverted = random_below(stream, 2) == 1;
    for (int map = (size + design->stem_stride - 1) / design->stem_stride; map > LAST_MAP; map = (map + 1) / 2)
        design->stages++;
    design->stages += random_below(stream, 3) == 0;
    design->stages = design->stages < 1 ? 1 : design->stages > MAX_STAGES ? MAX_STAGES : design->stages;
    const double growth = 0.25 * ONE_OF(stream, 5, 6, 7, 8);
    double width = ONE_OF(stream, 16, 20, 24);
    for (int i = 0; i < design->stages; i++, width *= growth)
        design->stage[i] = (struct stage){.blocks = ONE_OF(stream, 1, 2, 2, 3, 4),
                                          .kernel = ONE_OF(stream, 3, 5, 5, 7),
                                          .expansion = ONE_OF(stream, 2, 3, 4),
                                          .width = width};
    design->head = random_below(stream, 2) ? 0.5 * ONE_OF(stream, 3, 4, 6) : 0;
    design->activation = activations[random_below(stream, 3)];
    design->squeeze = random_below(stream, 3) == 0 ? 4 : 0;
    design->fill = LEAST_FILL + (1 - LEAST_FILL) * (double)random_uniform(stream);
}

static int width_of(double width)
{
    const int rounded = WIDTH_STEP * (int)(width / WIDTH_STEP + 0.5);
    return rounded < LEAST_WIDTH ? LEAST_WIDTH : rounded;
}

/* Appends to text[size]; what does not fit is cut, and shows as a net that cannot be read. */
__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static void write_stage(const struct design *design, int i, double factor, int *channels, struct candidate *c)
{
    const struct stage *stage = &design->stage[i];
    const int width = width_of(factor * stage->width);
    for (int block = 0; block < stage->blocks; block++) {
        const int inner = design->inverted ? *channels * stage->expansion : *channels;
        append(c->text, sizeof c->text, "%s stage%d.%d %d", design->inverted ? "inverted" : "residual", i + 1,
               block + 1, width);
        if (design->inverted)
            append(c->text, sizeof c->text, " %d", inner);
        append(c->text, sizeof c->text, " %dx%d%s %s", stage->kernel, stage->kernel, block == 0 ? " /2" : "",
               design->activation);
        if (design->squeeze)
            append(c->text, sizeof c->text, " se %d", width_of((double)inner / design->squeeze));
        append(c->text, sizeof c->text, "\n");
        *channels = width;
    }
    append(c->label, sizeof c->label, "%s%dx%d k%d", i ? ", " : "", width, stage->blocks, stage->kernel);
    if (design->inverted)
        append(c->label, sizeof c->label, " e%d", stage->expansion);
}

static void write(const struct design *design, double factor, struct candidate *c)
{
    int channels = width_of(factor < 1 ? factor * design->stem : design->stem);
    c->text[0] = c->label[0] = 0;
    append(c->text, sizeof c->text, "conv stem %d %dx%d /%d pad %d nobias\nbn\n%s\n", channels, design->stem_kernel,
           design->stem_kernel, design->stem_stride, design->stem_kernel == 3, design->activation);
    append(c->label, sizeof c->label, "stem %d /%d, %s ", channels, design->stem_stride,
           design->inverted ? "inverted" : "residual");
    for (int i = 0; i < design->stages; i++)
        write_stage(design, i, factor, &channels, c);
    if (design->head > 0)
        append(c->text, sizeof c->text, "conv head %d 1x1 nobias\nbn\n", width_of(design->head * channels));
    append(c->text, sizeof c->text, "%s\ngap\nfc classifier classes\n", design->activation);
    append(c->label, sizeof c->label, "%s%s, %s", design->head > 0 ? ", head" : "", design->squeeze ? ", se" : "",
           design->activation);
}

/* Reads the text as any student's, and counts. */
static enum status measure(struct candidate *c, const struct student_input *input, struct error *err)
{
    const struct net_text_options options = {"a net of the search", input->channels, input->size, input->classes};
    enum status status = STATUS_OK;
    struct graph graph = {0};
    TRY(net_text_parse(&graph, c->text, strlen(c->text), &options, err));
    TRY(lowered_int8_bytes(&graph, &c->activation_bytes, err));
    c->parameters = graph_parameter_count(&graph);
    c->multiplies = (double)graph_multiply_count(&graph);
cleanup:
    graph_release(&graph);
    return status;
}

/* The weights of the pointwise convolutions: fewer than the net has, so that nets far too large need not be built. */
static double least_parameters(const struct design *design, double factor)
{
    double sum = 0, channels = width_of(factor < 1 ? factor * design->stem : design->stem);
    for (int i = 0; i < design->stages; i++)
        for (int block = 0; block < design->stage[i].blocks; block++) {
            const double width = width_of(factor * design->stage[i].width);
            const double inner = design->inverted ? channels * design->stage[i].expansion : channels;
            sum += inner * width + (design->inverted ? channels * inner : 0);
            channels = width;
        }
    return sum;
}

/* True if some widths make a net that fits; the widest of those is taken. */
static enum status fit_widths(const struct design *design, const struct student_input *input,
                              const struct search_budget *budget, struct candidate *c, bool *fits, struct error *err)
{
    const double most = design->fill * (double)budget->parameters;
    enum status status = STATUS_OK;
    *fits = false;
    for (double factor = WIDEST; factor > NARROWEST && !*fits; factor *= NARROWER) {
        if (least_parameters(design, factor) > most)
            continue;
        write(design, factor, c);
        TRY(measure(c, input, err));
        *fits = (double)c->parameters <= most && (!(budget->multiplies > 0) || c->multiplies <= budget->multiplies) &&
                (!budget->activation_bytes || c->activation_bytes <= budget->activation_bytes);
    }
cleanup:
    return status;
}

enum status candidate_make(struct candidate *candidate, uint64_t seed, int index, const struct student_input *input,
                           const struct search_budget *budget, struct error *err)
{
    enum status status = STATUS_OK;
    struct random_stream stream;
    random_stream_init(&stream, seed, RANDOM_SEARCH, (uint32_t)index, 0);
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        struct design design;
        bool fits;
        draw(&design, &stream, input->size);
        TRY(fit_widths(&design, input, budget, candidate, &fits, err));
        if (fits)
            return STATUS_OK;
    }
    status = error_set(
        err, STATUS_CONFIG, NULL,
        "of %d nets none fits in %zu parameters, %.0f multiply-accumulates and %zu bytes of activations "
        "(of the last two 0: no limit); raise --max-params, --max-macs or --max-activation-bytes, or lower --size",
        MAX_ATTEMPTS, budget->parameters, budget->multiplies, budget->activation_bytes);
cleanup:
    return status;
}
