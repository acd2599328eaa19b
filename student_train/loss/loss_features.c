/* Finds the features that a term compares: by name, or the embeddings. */
#include "student_train/loss/loss_binder.h"

#include "shared/base/suggest.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 256 };

enum status loss_features_refuse(const struct loss_binder *b, const char *what, const char *cure)
{
    const struct shape s = b->student, t = b->teacher;
    return error_set(
        b->err, STATUS_CONFIG, NULL, "%s: %s: the student's %s is %dx%dx%d, the teacher's %s is %dx%dx%d; %s",
        b->loss->names[b->term], what, b->binding->graph.nodes[b->node].name, s.c, s.h, s.w,
        b->feature == FEATURE_LOGITS ? "logits" : b->manifest->features[b->feature].tensor, t.c, t.h, t.w, cure);
}

/* Training graphs have no flatten: its input is the same value. */
static int skip_flatten(const struct graph *graph, int node)
{
    while (node >= 0 && graph->nodes[node].op == OP_FLATTEN)
        node = graph->nodes[node].inputs[0];
    return node;
}

/* The student's embedding: what the last linear layer reads. */
static int embedding_of(const struct graph *graph)
{
    int node = graph->output;
    while (graph->nodes[node].op != OP_LINEAR && graph->nodes[node].input_count == 1)
        node = graph->nodes[node].inputs[0];
    if (graph->nodes[node].op != OP_LINEAR)
        return graph->output;
    node = graph->nodes[node].inputs[0];
    while (graph->nodes[node].op == OP_DROPOUT || graph->nodes[node].op == OP_FLATTEN ||
           graph->nodes[node].op == OP_QUANTISE)
        node = graph->nodes[node].inputs[0];
    return node;
}

static enum status unknown_feature(const struct loss_binder *b, const char *whose, const char *name,
                                   const char *const *names, int count)
{
    char list[600] = "";
    const char *near = suggest(name, names, count);
    for (int i = 0; i < count && strlen(list) < sizeof list - 100; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.80s", i ? ", " : "", names[i]);
    return error_set(b->err, STATUS_CONFIG, NULL, "%s: %s has no feature '%s'%s%s%s; it has: %s",
                     b->loss->names[b->term], whose, name, near ? ", did you mean '" : "", near ? near : "",
                     near ? "'?" : "", list);
}

static enum status find_student(struct loss_binder *b, const char *name)
{
    const struct graph *graph = &b->binding->graph;
    b->node = strcmp(name, "logits") == 0 ? graph->output : graph_find(graph, name);
    if (b->node < 0) {
        const char *names[MAX_NAMES];
        int count = 0;
        for (int i = 0; i < graph->node_count && count < MAX_NAMES; i++)
            if (!strchr(graph->nodes[i].name, '.') || !strchr(name, '.'))
                names[count++] = graph->nodes[i].name;
        return unknown_feature(b, "the student", name, names, count);
    }
    b->node = skip_flatten(graph, b->node);
    return STATUS_OK;
}

static enum status find_teacher(struct loss_binder *b, const char *name)
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
    return unknown_feature(b, "the cache", name, names, count);
}

/* Both embeddings, or both logits if the cache has no vector. */
static enum status find_embeddings(struct loss_binder *b)
{
    const struct cache_manifest *manifest = b->manifest;
    int found = 0;
    b->feature = FEATURE_LOGITS;
    b->node = b->binding->graph.output;
    if (b->entry->compares == COMPARES_PIXELS)
        return error_set(b->err, STATUS_CONFIG, NULL, "%s compares maps; name them, as in %s", b->entry->name,
                         b->entry->usual);
    for (int i = 0; i < manifest->feature_count; i++)
        if (manifest->features[i].h == 1 && manifest->features[i].w == 1) {
            b->feature = i;
            found++;
        }
    if (found > 1)
        return error_set(b->err, STATUS_CONFIG, NULL,
                         "%s: the cache has %d vectors; name one, as in %s(student=FEATURE, teacher=%s)",
                         b->entry->name, found, b->entry->name, manifest->features[b->feature].tensor);
    if (found == 1)
        b->node = embedding_of(&b->binding->graph);
    return STATUS_OK;
}

enum status loss_features_find(struct loss_binder *b)
{
    const struct graph *graph = &b->binding->graph;
    struct loss_binding *binding = b->binding;
    enum status status = STATUS_OK;
    b->feature = FEATURE_NONE;
    b->teacher = (struct shape){0};
    if (b->names->student_count == 0)
        TRY(find_embeddings(b));
    else {
        TRY(find_student(b, b->names->student[b->part]));
        if (b->entry->compares != COMPARES_LOGITS_OR_FEATURE)
            TRY(find_teacher(b, b->names->teacher[b->part]));
    }
    b->student = graph->nodes[b->node].shape;
    if (b->feature >= 0) {
        const struct cache_feature *feature = &b->manifest->features[b->feature];
        b->teacher = (struct shape){feature->c, feature->h, feature->w};
        binding->cache_features[b->feature] = true;
        if (feature->views < binding->views[b->term])
            binding->views[b->term] = feature->views;
        binding->partial |= feature->views < b->manifest->views;
    } else if (b->feature == FEATURE_LOGITS)
        b->teacher = (struct shape){b->manifest->class_count, 1, 1};
cleanup:
    return status;
}
