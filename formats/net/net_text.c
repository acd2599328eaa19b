/* .net files, the words: turns lines into struct net_line. */
#include "formats/net/net_text.h"

#include "shared/base/suggest.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = NODE_MAX_INPUTS + 16, MAX_LINE = 8192, MAX_COUNT = 1 << 20 };

struct words {
    const char *path;
    int line;
    char text[MAX_LINE];
    const char *items[MAX_WORDS];
    int count, next;
};

__attribute__((format(printf, 3, 4))) static enum status bad(const struct words *words, struct error *err,
                                                             const char *format, ...)
{
    char text[1280];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(err, STATUS_BAD_DATA, words->path, "line %d: %s", words->line, text);
}

/* Splits a line (without its end) into words; a comment starts at '#'. */
static enum status split_words(struct words *words, const char *line, size_t length, struct error *err)
{
    const char *comment = memchr(line, '#', length);
    if (comment)
        length = (size_t)(comment - line);
    words->count = words->next = 0;
    if (length >= MAX_LINE)
        return bad(words, err, "the line has %zu characters; at most %d are allowed", length, MAX_LINE - 1);
    memcpy(words->text, line, length);
    words->text[length] = 0;
    for (size_t i = 0; i < length; i++)
        if (!isspace((unsigned char)line[i]) && (line[i] <= ' ' || line[i] > '~'))
            return bad(words, err, "column %zu has a character that is not printable ASCII", i + 1);
    char *rest = words->text;
    for (char *word = strtok_r(rest, " \t\r\v\f", &rest); word; word = strtok_r(NULL, " \t\r\v\f", &rest)) {
        if (words->count == MAX_WORDS)
            return bad(words, err, "more than %d words", MAX_WORDS);
        words->items[words->count++] = word;
    }
    return STATUS_OK;
}

static const char *peek(const struct words *words)
{
    return words->next < words->count ? words->items[words->next] : NULL;
}

static bool whole_number(const char *text, int low, int high, int *value, const char **end)
{
    char *stop = NULL;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    long number = strtol(text, &stop, 10);
    *end = stop;
    *value = (int)number;
    return errno == 0 && number >= low && number <= high;
}

static enum status read_int(struct words *words, const char *what, int low, int high, int *value, struct error *err)
{
    const char *word = peek(words), *end = "";
    if (!word || !whole_number(word, low, high, value, &end) || *end)
        return bad(words, err, "%s must be a whole number from %d to %d, not '%s'", what, low, high, word ? word : "");
    words->next++;
    return STATUS_OK;
}

/* read_words has seen that there is a word, for this and for read_kernel. */
static enum status read_count(struct words *words, int classes, int *value, struct error *err)
{
    if (strcmp(peek(words), "classes") == 0) {
        *value = classes;
        words->next++;
        return STATUS_OK;
    }
    return read_int(words, "the number of channels", 1, MAX_COUNT, value, err);
}

/* "3x5" or "3". */
static enum status read_kernel(struct words *words, struct net_line *line, struct error *err)
{
    const char *word = peek(words), *end = "";
    bool right = whole_number(word, 1, MAX_COUNT, &line->kernel_h, &end);
    line->kernel_w = line->kernel_h;
    if (right && *end == 'x')
        right = whole_number(end + 1, 1, MAX_COUNT, &line->kernel_w, &end);
    if (!right || *end)
        return bad(words, err, "'%s' is not a window size; write 3x3 or 3", word);
    words->next++;
    return STATUS_OK;
}

static enum status read_number(struct words *words, const char *what, float *value, struct error *err)
{
    const char *word = peek(words);
    char *end = NULL;
    float number = word ? strtof(word, &end) : 0;
    if (!word || end == word || *end || !isfinite(number) || number < 0)
        return bad(words, err, "%s must be a number of at least 0, not '%s'", what, word ? word : "");
    *value = number;
    words->next++;
    return STATUS_OK;
}

static enum status read_name(struct words *words, const char **name, struct error *err)
{
    const char *word = peek(words);
    bool right = word && (isalpha((unsigned char)word[0]) || word[0] == '_') && strlen(word) < NODE_MAX_NAME - 16;
    for (const char *c = word; right && *c; c++)
        right = isalnum((unsigned char)*c) || strchr("_.-", *c);
    if (!right)
        return bad(words, err, "'%s' is not a name: names begin with a letter and have letters, digits, '_', '.', '-'",
                   word ? word : "");
    *name = word;
    words->next++;
    return STATUS_OK;
}

static enum status read_words(struct words *words, const struct net_layer *layer, int classes, struct net_line *line,
                              struct error *err)
{
    enum status status = STATUS_OK;
    for (const char *kind = layer->words; *kind && status == STATUS_OK; kind++) {
        const char *word = peek(words);
        if (!word && *kind != 'x')
            return bad(words, err, "too few words; write: %s", layer->usage);
        switch (*kind) {
        case 'n':
            status = read_name(words, &line->name, err);
            break;
        case 'c':
            status = read_count(words, classes, &line->counts[line->count_count++], err);
            break;
        case 'i':
            status = read_int(words, "the first channel", 0, MAX_COUNT, &line->first, err);
            break;
        case 'k':
            status = read_kernel(words, line, err);
            break;
        case 'x':
            if (word && isdigit((unsigned char)word[0]))
                status = read_number(words, line->layer, &line->value, err);
            break;
        case 'v':
            while (status == STATUS_OK && (word = peek(words)) && strcmp(word, "as") != 0) {
                if (line->name_count == NET_LINE_MAX_NAMES)
                    return bad(words, err, "more than %d values", NET_LINE_MAX_NAMES);
                status = read_name(words, &line->names[line->name_count++], err);
            }
            break;
        }
    }
    return status;
}

/* The activation that a block may be given; ACTIVATION_NONE: another word. */
static enum activation block_activation(const char *word)
{
    static const struct {
        const char *word;
        enum activation activation;
    } known[] = {{"relu", ACTIVATION_RELU},
                 {"relu6", ACTIVATION_CLIP},
                 {"hardswish", ACTIVATION_HARD_SWISH},
                 {"silu", ACTIVATION_SILU},
                 {"gelu", ACTIVATION_GELU}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0)
            return known[i].activation;
    return ACTIVATION_NONE;
}

/* One option; its letter is in layer->options. */
static enum status read_option(struct words *words, const struct net_layer *layer, struct net_line *line,
                               struct error *err)
{
    static const struct {
        const char *word;
        char letter;
    } known[] = {{"pad", 'p'},  {"dilation", 'd'}, {"groups", 'g'}, {"bias", 'b'},     {"nobias", 'b'},
                 {"ceil", 'c'}, {"as", 'a'},       {"eps", 'e'},    {"momentum", 'e'}, {"eps", 's'},
                 {"silu", 'h'}, {"hard", 'h'},     {"relu", 't'},   {"relu6", 't'},    {"hardswish", 't'},
                 {"silu", 't'}, {"gelu", 't'},     {"se", 'q'},     {"noskip", 'n'},   {"linear", 'l'}};
    const char *word = peek(words), *names[sizeof known / sizeof *known], *near = NULL, *end = "";
    int count = 0;
    bool allowed = false;
    if (word[0] == '/' && strchr(layer->options, '/')) {
        if (!whole_number(word + 1, 1, MAX_COUNT, &line->stride, &end) || *end)
            return bad(words, err, "'%s' is not a stride; write /2", word);
        words->next++;
        return STATUS_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strchr(layer->options, known[i].letter)) {
            names[count++] = known[i].word;
            allowed |= strcmp(word, known[i].word) == 0;
        }
    near = suggest(word, names, count);
    if (!allowed)
        return bad(words, err, "'%s' does not take '%s'%s%s%s; write: %s", layer->name, word,
                   near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", layer->usage);
    words->next++;
    if (strcmp(word, "pad") == 0)
        return read_int(words, word, 0, 1 << 16, &line->pad, err);
    if (strcmp(word, "dilation") == 0)
        return read_int(words, word, 1, 1 << 16, &line->dilation, err);
    if (strcmp(word, "groups") == 0)
        return read_int(words, word, 1, MAX_COUNT, &line->groups, err);
    if (strcmp(word, "as") == 0)
        return read_name(words, &line->name, err);
    if (strcmp(word, "eps") == 0)
        return read_number(words, word, &line->epsilon, err);
    if (strcmp(word, "momentum") == 0)
        return read_number(words, word, &line->momentum, err);
    if (strcmp(word, "se") == 0)
        return read_int(words, "the number of channels of se", 1, MAX_COUNT, &line->squeeze, err);
    if (strchr(layer->options, 't') && (line->activation = block_activation(word)) != ACTIVATION_NONE)
        return STATUS_OK;
    if (strcmp(word, "silu") == 0 || strcmp(word, "hard") == 0) {
        line->gate = word[0] == 's' ? NET_GATE_SILU : NET_GATE_HARD;
        return STATUS_OK;
    }
    if (strcmp(word, "ceil") == 0)
        line->ceil = true;
    else if (strcmp(word, "noskip") == 0)
        line->noskip = true;
    else if (strcmp(word, "linear") == 0)
        line->linear = true;
    else
        line->bias = word[0] == 'b';
    return STATUS_OK;
}

static const struct net_layer *find_layer(const struct words *words, struct error *err)
{
    const char *names[NET_MAX_LAYER_KINDS], *near;
    char list[1024] = "";
    for (int i = 0; i < net_layer_count; i++) {
        if (strcmp(net_layers[i].name, words->items[0]) == 0)
            return &net_layers[i];
        names[i] = net_layers[i].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    }
    near = suggest(words->items[0], names, net_layer_count);
    if (near)
        bad(words, err, "unknown layer '%s', did you mean '%s'?", words->items[0], near);
    else
        bad(words, err, "unknown layer '%s'; layers are: %s", words->items[0], list);
    return NULL;
}

static enum status read_line(struct words *words, struct net_builder *builder, struct error *err)
{
    enum status status = STATUS_OK;
    const struct net_layer *layer = find_layer(words, err);
    const struct net_text_options *options = builder->options;
    struct net_line line = {.number = words->line,
                            .stride = 0,
                            .pad = -1,
                            .dilation = 1,
                            .groups = 1,
                            .bias = -1,
                            .value = -1,
                            .epsilon = -1,
                            .momentum = -1};
    struct error inner = {0};
    if (!layer)
        return STATUS_BAD_DATA;
    if (++builder->layers > NET_TEXT_MAX_LAYERS)
        return bad(words, err, "more than %d layers", NET_TEXT_MAX_LAYERS);
    line.layer = layer->name;
    words->next = 1;
    TRY(read_words(words, layer, options->classes, &line, err));
    while (peek(words))
        TRY(read_option(words, layer, &line, err));
    if (line.name)
        snprintf(builder->last_name, sizeof builder->last_name, "%s", line.name);
    if (strcmp(layer->name, "input") != 0)
        status = net_begin(builder, options->channels, options->size, options->size, &inner);
    if (status == STATUS_OK)
        status = layer->build(builder, &line, &inner);
    if (status != STATUS_OK)
        error_set(err, status, words->path, "line %d: %s", words->line, inner.message);
cleanup:
    return status;
}

static enum status check_output(const struct net_builder *builder, struct error *err)
{
    const struct net_text_options *options = builder->options;
    if (builder->current < 0)
        return error_set(err, STATUS_BAD_DATA, options->path, "has no layers");
    struct shape shape = builder->graph->nodes[builder->current].shape;
    if (shape.c != options->classes || shape.h != 1 || shape.w != 1)
        return error_set(err, STATUS_CONFIG, options->path,
                         "its output is %dx%dx%d, but there are %d classes; end with: fc classifier classes", shape.c,
                         shape.h, shape.w, options->classes);
    builder->graph->output = builder->current;
    return STATUS_OK;
}

enum status net_text_parse(struct graph *graph, const char *text, size_t size, const struct net_text_options *options,
                           struct error *err)
{
    enum status status = STATUS_OK;
    struct net_builder builder = {.graph = graph, .options = options, .current = -1};
    struct words words = {.path = options->path};
    const char *line = text, *end = text + size;
    graph_init(graph);
    if (size > NET_TEXT_LIMIT)
        FAIL(error_set(err, STATUS_BAD_DATA, options->path, "has %zu bytes; a .net file may have at most %d", size,
                       NET_TEXT_LIMIT));
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;
        words.line++;
        TRY(split_words(&words, line, (size_t)(stop - line), err));
        if (words.count > 0)
            TRY(read_line(&words, &builder, err));
        line = stop + 1;
    }
    TRY(check_output(&builder, err));
cleanup:
    if (status != STATUS_OK)
        graph_release(graph);
    return status;
}
