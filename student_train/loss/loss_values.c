#define _POSIX_C_SOURCE 200809L
#include "student_train/loss/loss_binding.h"

#include "shared/base/suggest.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status loss_binding_refuse(const struct loss_binding *b, const char *what, const char *cure)
{
    const struct shape s = b->student, t = b->teacher;
    return error_set(
        b->err, STATUS_CONFIG, NULL, "%s: %s: the student's %s is %dx%dx%d, the teacher's %s is %dx%dx%d; %s",
        b->loss->names[b->term], what, b->values->graph.nodes[b->node].name, s.c, s.h, s.w,
        b->feature == FEATURE_LOGITS ? "logits" : b->manifest->features[b->feature].tensor, t.c, t.h, t.w, cure);
}

/* ---- names ---- */

/* Through what only passes its input on in training graphs: flatten. */
static int skip_flatten(const struct graph *graph, int node)
{
    while (node >= 0 && graph->nodes[node].op == OP_FLATTEN)
        node = graph->nodes[node].inputs[0];
    return node;
}

/* What the last linear layer reads: the student's embedding. */
static int embedding_of(const struct graph *graph)
{
    int node = graph->output;
    while (graph->nodes[node].op != OP_LINEAR && graph->nodes[node].input_count == 1)
        node = graph->nodes[node].inputs[0];
    if (graph->nodes[node].op != OP_LINEAR)
        return graph->output;
    node = graph->nodes[node].inputs[0];
    while (graph->nodes[node].op == OP_DROPOUT || graph->nodes[node].op == OP_FLATTEN)
        node = graph->nodes[node].inputs[0];
    return node;
}

static enum status unknown_value(const struct loss_binding *b, const char *whose, const char *name,
                                 const char *const *names, int count)
{
    char list[600] = "";
    const char *near = suggest(name, names, count);
    for (int i = 0; i < count && strlen(list) < sizeof list - 100; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.80s", i ? ", " : "", names[i]);
    return error_set(b->err, STATUS_CONFIG, NULL, "%s: %s has no value '%s'%s%s%s; it has: %s", b->loss->names[b->term],
                     whose, name, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", list);
}

static enum status find_student(struct loss_binding *b, const char *name)
{
    const struct graph *graph = &b->values->graph;
    b->node = strcmp(name, "logits") == 0 ? graph->output : graph_find(graph, name);
    if (b->node < 0) {
        const char *names[256];
        int count = 0;
        for (int i = 0; i < graph->node_count && count < 256; i++)
            if (!strchr(graph->nodes[i].name, '.') || !strchr(name, '.'))
                names[count++] = graph->nodes[i].name;
        return unknown_value(b, "the student", name, names, count);
    }
    b->node = skip_flatten(graph, b->node);
    return STATUS_OK;
}

static enum status find_teacher(struct loss_binding *b, const char *name)
{
    const char *names[CACHE_MAX_FEATURES + 1];
    int count = 0;
    b->feature = FEATURE_LOGITS;
    if (strcmp(name, "logits") == 0)
        return STATUS_OK;
    for (; count < b->manifest->feature_count; count++) {
        names[count] = b->manifest->features[count].tensor;
        if (strcmp(names[count], name) == 0) {
            b->feature = count;
            return STATUS_OK;
        }
    }
    names[count++] = "logits";
    return unknown_value(b, "the cache", name, names, count);
}

/* Both embeddings, or both logits where the cache has no vector. */
static enum status find_default(struct loss_binding *b)
{
    const struct cache_manifest *manifest = b->manifest;
    int found = 0;
    b->feature = FEATURE_LOGITS;
    b->node = b->values->graph.output;
    if (b->entry->values == VALUES_PIXELS)
        return error_set(b->err, STATUS_CONFIG, NULL, "%s compares maps: say which, as in %s", b->entry->name,
                         b->entry->usual);
    for (int i = 0; i < manifest->feature_count; i++)
        if (manifest->features[i].h == 1 && manifest->features[i].w == 1) {
            b->feature = i;
            found++;
        }
    if (found > 1)
        return error_set(b->err, STATUS_CONFIG, NULL,
                         "%s: the cache has %d vectors; say which, as in %s(student=VALUE, teacher=%s)", b->entry->name,
                         found, b->entry->name, manifest->features[b->feature].tensor);
    if (found == 1)
        b->node = embedding_of(&b->values->graph);
    return STATUS_OK;
}

static enum status find_pair(struct loss_binding *b)
{
    const struct graph *graph = &b->values->graph;
    enum status status = STATUS_OK;
    b->feature = FEATURE_NONE;
    b->teacher = (struct shape){0};
    if (b->layers->student_count == 0)
        TRY(find_default(b));
    else {
        TRY(find_student(b, b->layers->student[b->part]));
        if (b->entry->values != VALUES_OPTIONAL)
            TRY(find_teacher(b, b->layers->teacher[b->part]));
    }
    b->student = graph->nodes[b->node].shape;
    if (b->feature >= 0) {
        const struct cache_feature *feature = &b->manifest->features[b->feature];
        b->teacher = (struct shape){feature->c, feature->h, feature->w};
        b->values->features[b->feature] = true;
        if (feature->views < b->values->views[b->term])
            b->values->views[b->term] = feature->views;
        b->values->partial |= feature->views < b->manifest->views;
    } else if (b->feature == FEATURE_LOGITS)
        b->teacher = (struct shape){b->manifest->class_count, 1, 1};
cleanup:
    return status;
}

/* ---- sizes ---- */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Brings the student's value to the teacher's channels, and finds the size in which both are compared. */
static enum status fit_shapes(struct loss_binding *b, struct loss_value *source, struct loss_value *student_value)
{
    const bool attention = b->feature >= 0 && b->manifest->features[b->feature].form == FEATURE_AT;
    const enum loss_compared kind = b->entry->values;
    enum status status = STATUS_OK;
    if (attention && b->entry->defaults.kind != LOSS_AT)
        return loss_binding_refuse(b, "the cache has only the attention map of this tensor",
                                   "record it as fp16 or int8");
    TRY(loss_layers_add(b));
    b->student = b->values->graph.nodes[b->node].shape;
    if (kind == VALUES_EQUAL && b->student.c != b->teacher.c)
        return loss_binding_refuse(b, "other channels",
                                   b->student.h * b->student.w > 1 && b->teacher.h * b->teacher.w > 1
                                       ? "use regressor=conv1x1 or conv3x3"
                                       : "use regressor=linear");
    *source = (struct loss_value){b->feature, b->teacher.h, b->teacher.w, b->teacher.c, b->term};
    *student_value = (struct loss_value){b->node, b->student.h, b->student.w, b->student.c, b->term};
    if (kind == VALUES_EQUAL || kind == VALUES_PIXELS) {
        source->h = student_value->h = smaller(b->student.h, b->teacher.h);
        source->w = student_value->w = smaller(b->student.w, b->teacher.w);
    } else if (kind == VALUES_EMBEDDED)
        source->h = source->w = 1;
    else if (kind == VALUES_OPTIONAL)
        student_value->h = student_value->w = 1;
    if (attention && (source->h < b->teacher.h || source->w < b->teacher.w))
        return loss_binding_refuse(b, "an attention map cannot be averaged", "record the tensor as fp16 or int8");
    if (kind == VALUES_OPTIONAL && b->student.c < b->manifest->class_count)
        return error_set(b->err, STATUS_CONFIG, NULL, "%s: the student's value has %d channels for %d classes",
                         b->loss->names[b->term], b->student.c, b->manifest->class_count);
cleanup:
    return status;
}

/* The place of a value among those that are read; each is read once. */
static int keep(const struct loss_values *values, struct loss_value *list, int *count, const struct loss_value *wanted)
{
    for (int i = 0; i < *count; i++)
        if (list[i].of == wanted->of && list[i].h == wanted->h && list[i].w == wanted->w &&
            values->views[list[i].term] == values->views[wanted->term])
            return i;
    list[*count] = *wanted;
    return (*count)++;
}

static enum status bind_pair(struct loss_binding *b, struct loss_value *source, struct loss_value *student_value)
{
    struct loss_values *values = b->values;
    struct loss_pair *pair = &values->pairs[values->pair_count];
    const int output = values->graph.output;
    enum status status = STATUS_OK;
    if (values->pair_count == LOSS_ALL_PAIRS)
        return error_set(b->err, STATUS_CONFIG, NULL, "the loss compares more than %d pairs of values", LOSS_ALL_PAIRS);
    *pair = (struct loss_pair){.term = b->term, .part = b->part, .source = -1};
    for (int i = 0; i < LEARNED_COUNT; i++)
        pair->learned[i] = -1;
    TRY(find_pair(b));
    TRY(fit_shapes(b, source, student_value));
    TRY(loss_learned_add(b, pair));
    values->pair_count++;
cleanup:
    values->graph.output = output; /* and not the layer that was added last */
    return status;
}

enum status loss_values_bind(struct loss_values *values, const struct loss_expression *loss,
                             const struct graph *student, const struct cache_manifest *manifest, uint64_t seed,
                             struct error *err)
{
    struct loss_value sources[LOSS_ALL_PAIRS];
    struct loss_value student_values[LOSS_ALL_PAIRS];
    struct loss_binding b = {.values = values, .loss = loss, .manifest = manifest, .err = err};
    enum status status = STATUS_OK;
    *values = (struct loss_values){.weight_count = student->weight_count};
    for (int i = 0; i < LOSS_MAX_TERMS; i++)
        values->views[i] = INT_MAX;
    TRY(graph_copy(student, &values->graph, err));
    for (b.term = 0; b.term < loss->count; b.term++) {
        b.entry = loss->entries[b.term];
        b.layers = &loss->layers[b.term];
        const int parts = b.layers->student_count ? b.layers->student_count : 1;
        for (b.part = 0; loss_expression_on_values(loss, b.term) && b.part < parts; b.part++)
            TRY(bind_pair(&b, &sources[values->pair_count], &student_values[values->pair_count]));
    }
    for (int i = 0; i < values->pair_count; i++) { /* now that all terms know their views */
        values->pairs[i].student_value =
            keep(values, values->student_values, &values->student_value_count, &student_values[i]);
        if (sources[i].of != FEATURE_NONE)
            values->pairs[i].source = keep(values, values->sources, &values->source_count, &sources[i]);
    }
    loss_values_begin(values, loss, student, seed);
cleanup:
    if (status != STATUS_OK)
        loss_values_release(values);
    return status;
}

void loss_values_release(struct loss_values *values)
{
    graph_release(&values->graph);
    *values = (struct loss_values){0};
}

void loss_values_begin(struct loss_values *values, const struct loss_expression *loss, const struct graph *student,
                       uint64_t seed)
{
    graph_initialise(&values->graph, seed);
    for (int i = 0; i < values->pair_count; i++)
        loss_learned_begin(values, loss, &values->pairs[i], seed);
    for (int i = 0; i < student->weight_count; i++)
        memcpy(values->graph.weights[i].data, student->weights[i].data,
               student->weights[i].count * sizeof *student->weights[i].data);
}

static void describe_pair(FILE *out, const struct loss_values *values, const struct loss_expression *loss,
                          const struct cache_manifest *manifest, const struct loss_pair *pair)
{
    const struct loss_value *student = &values->student_values[pair->student_value];
    const struct node *node = &values->graph.nodes[student->of];
    const int views = values->views[pair->term];
    fprintf(out, "%s: student %s %dx%dx%d", loss->names[pair->term], node->name, student->channels, student->h,
            student->w);
    if (student->h < node->shape.h || student->w < node->shape.w)
        fprintf(out, " (averaged from %dx%d)", node->shape.h, node->shape.w);
    if (pair->source >= 0) {
        const struct loss_value *source = &values->sources[pair->source];
        const struct cache_feature *feature = source->of >= 0 ? &manifest->features[source->of] : NULL;
        fprintf(out, ", teacher %s %dx%dx%d", feature ? feature->tensor : "logits", source->channels, source->h,
                source->w);
        if (feature && (source->h < feature->h || source->w < feature->w))
            fprintf(out, " (averaged from %dx%d)", feature->h, feature->w);
        if (feature)
            fprintf(out, ", %s", feature_form_name(feature->form));
    }
    if (views < manifest->views)
        fprintf(out, ", on %d of %d views", views, manifest->views);
    fprintf(out, "\n");
}

char *loss_values_describe(const struct loss_values *values, const struct loss_expression *loss,
                           const struct cache_manifest *manifest)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int i = 0; i < values->pair_count; i++)
        describe_pair(out, values, loss, manifest, &values->pairs[i]);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
