#define _POSIX_C_SOURCE 200809L
#include "student_train/loss/loss_binder.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Brings the student's feature to the teacher's channels, and finds the size in which both are compared. */
static enum status fit_shapes(struct loss_binder *b, struct loss_feature *teacher, struct loss_feature *student)
{
    const bool attention = b->feature >= 0 && b->manifest->features[b->feature].form == FEATURE_AT;
    const enum loss_compares kind = b->entry->compares;
    enum status status = STATUS_OK;
    if (attention && b->entry->defaults.kind != LOSS_AT)
        return loss_features_refuse(b, "the cache has only the attention map of this tensor",
                                    "record it as fp16 or int8");
    if (b->loss->terms[b->term].distance == DISTANCE_RELATIVE && b->feature < 0)
        return loss_features_refuse(b, "only features of the cache have a mean square", "use distance=mse");
    TRY(loss_layers_add(b));
    b->student = b->binding->graph.nodes[b->node].shape;
    if (kind == COMPARES_ELEMENTS && b->student.c != b->teacher.c)
        return loss_features_refuse(b, "the numbers of channels differ",
                                    b->student.h * b->student.w > 1 && b->teacher.h * b->teacher.w > 1
                                        ? "use regressor=conv1x1 or conv3x3"
                                        : "use regressor=linear");
    *teacher = (struct loss_feature){b->feature, b->teacher.h, b->teacher.w, b->teacher.c, b->term};
    *student = (struct loss_feature){b->node, b->student.h, b->student.w, b->student.c, b->term};
    if (kind == COMPARES_ELEMENTS || kind == COMPARES_PIXELS) {
        teacher->h = student->h = smaller(b->student.h, b->teacher.h);
        teacher->w = student->w = smaller(b->student.w, b->teacher.w);
    } else if (kind == COMPARES_EMBEDDINGS)
        teacher->h = teacher->w = 1;
    else if (kind == COMPARES_LOGITS_OR_FEATURE)
        student->h = student->w = 1;
    if (attention && (teacher->h < b->teacher.h || teacher->w < b->teacher.w))
        return loss_features_refuse(b, "an attention map cannot be averaged", "record the tensor as fp16 or int8");
    if (kind == COMPARES_LOGITS_OR_FEATURE && b->student.c < b->manifest->class_count)
        return error_set(b->err, STATUS_CONFIG, NULL, "%s: the student's feature has %d channels for %d classes",
                         b->loss->names[b->term], b->student.c, b->manifest->class_count);
cleanup:
    return status;
}

/* The index of a feature among those that are read; each is read once. */
static int index_of(const struct loss_binding *binding, struct loss_feature *list, int *count,
                    const struct loss_feature *wanted)
{
    for (int i = 0; i < *count; i++)
        if (list[i].of == wanted->of && list[i].h == wanted->h && list[i].w == wanted->w &&
            binding->views[list[i].term] == binding->views[wanted->term])
            return i;
    list[*count] = *wanted;
    return (*count)++;
}

static enum status bind_pair(struct loss_binder *b, struct loss_feature *teacher, struct loss_feature *student)
{
    struct loss_binding *binding = b->binding;
    struct feature_pair *pair = &binding->pairs[binding->pair_count];
    const int output = binding->graph.output;
    enum status status = STATUS_OK;
    if (binding->pair_count == BINDING_MAX_PAIRS)
        return error_set(b->err, STATUS_CONFIG, NULL, "the loss compares more than %d pairs of features",
                         BINDING_MAX_PAIRS);
    *pair = (struct feature_pair){.term = b->term, .part = b->part, .teacher_feature = -1};
    for (int i = 0; i < LEARNED_COUNT; i++)
        pair->learned[i] = -1;
    TRY(loss_features_find(b));
    TRY(fit_shapes(b, teacher, student));
    TRY(loss_learned_add(b, pair));
    binding->pair_count++;
cleanup:
    binding->graph.output = output; /* not the layer that was added last */
    return status;
}

enum status loss_bind(struct loss_binding *binding, const struct loss_expression *loss, const struct graph *student,
                      const struct cache_manifest *manifest, uint64_t seed, struct error *err)
{
    struct loss_feature teachers[BINDING_MAX_PAIRS], students[BINDING_MAX_PAIRS];
    struct loss_binder b = {.binding = binding, .loss = loss, .manifest = manifest, .err = err};
    enum status status = STATUS_OK;
    *binding = (struct loss_binding){.weight_count = student->weight_count};
    for (int i = 0; i < LOSS_MAX_TERMS; i++)
        binding->views[i] = INT_MAX;
    TRY(graph_copy(student, &binding->graph, err));
    for (b.term = 0; b.term < loss->count; b.term++) {
        b.entry = loss->entries[b.term];
        b.names = &loss->features[b.term];
        const int parts = b.names->student_count ? b.names->student_count : 1;
        for (b.part = 0; loss_expression_on_features(loss, b.term) && b.part < parts; b.part++)
            TRY(bind_pair(&b, &teachers[binding->pair_count], &students[binding->pair_count]));
    }
    for (int i = 0; i < binding->pair_count; i++) { /* after all terms know their views */
        binding->pairs[i].student_feature =
            index_of(binding, binding->student_features, &binding->student_feature_count, &students[i]);
        if (teachers[i].of != FEATURE_NONE)
            binding->pairs[i].teacher_feature =
                index_of(binding, binding->teacher_features, &binding->teacher_feature_count, &teachers[i]);
    }
    loss_binding_begin(binding, loss, student, seed);
cleanup:
    if (status != STATUS_OK)
        loss_binding_release(binding);
    return status;
}

void loss_binding_release(struct loss_binding *binding)
{
    graph_release(&binding->graph);
    *binding = (struct loss_binding){0};
}

void loss_binding_begin(struct loss_binding *binding, const struct loss_expression *loss, const struct graph *student,
                        uint64_t seed)
{
    graph_initialise(&binding->graph, seed);
    for (int i = 0; i < binding->pair_count; i++)
        loss_learned_begin(binding, loss, &binding->pairs[i], seed);
    for (int i = 0; i < student->weight_count; i++)
        memcpy(binding->graph.weights[i].data, student->weights[i].data,
               student->weights[i].count * sizeof *student->weights[i].data);
}

static void describe_pair(FILE *out, const struct loss_binding *binding, const struct loss_expression *loss,
                          const struct cache_manifest *manifest, const struct feature_pair *pair)
{
    const struct loss_feature *student = &binding->student_features[pair->student_feature];
    const struct node *node = &binding->graph.nodes[student->of];
    const int views = binding->views[pair->term];
    fprintf(out, "%s: student %s %dx%dx%d", loss->names[pair->term], node->name, student->channels, student->h,
            student->w);
    if (student->h < node->shape.h || student->w < node->shape.w)
        fprintf(out, " (averaged from %dx%d)", node->shape.h, node->shape.w);
    if (pair->teacher_feature >= 0) {
        const struct loss_feature *teacher = &binding->teacher_features[pair->teacher_feature];
        const struct cache_feature *feature = teacher->of >= 0 ? &manifest->features[teacher->of] : NULL;
        fprintf(out, ", teacher %s %dx%dx%d", feature ? feature->tensor : "logits", teacher->channels, teacher->h,
                teacher->w);
        if (feature && (teacher->h < feature->h || teacher->w < feature->w))
            fprintf(out, " (averaged from %dx%d)", feature->h, feature->w);
        if (feature)
            fprintf(out, ", %s", feature_form_name(feature->form));
    }
    if (views < manifest->views)
        fprintf(out, ", on %d of %d views", views, manifest->views);
    fprintf(out, "\n");
}

char *loss_binding_describe(const struct loss_binding *binding, const struct loss_expression *loss,
                            const struct cache_manifest *manifest)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int i = 0; i < binding->pair_count; i++)
        describe_pair(out, binding, loss, manifest, &binding->pairs[i]);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
