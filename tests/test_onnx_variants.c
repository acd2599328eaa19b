/* Every operator that the ONNX reader knows, in small models (helper_onnx_cases.h) with one thing changed: an input is
 * left out, or of another type or rank; an attribute has another value; another shape of the image; another operator
 * set; another operator before it or behind it. What comes out is a graph, or an error that names the file and says
 * something. A sanitizer sees the rest. Operators that change nothing must leave the values as they are. */
#include "formats/onnx/onnx_read.h"
#include "tests/helper_exports.h"
#include "tests/helper_onnx_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int made, read_well, wrong;

struct variant {
    const char *way, *line; /* helper_onnx_cases.h */
    int shape, opset;
    bool student;
};

/* Leaves the graph, empty on failure, to the caller. */
static enum status read_graph(const struct variant *v, struct graph *graph)
{
    struct proto model = {0};
    struct error err = {0};
    *graph = (struct graph){0};
    onnx_case_model(&model, v->way, v->line, v->shape, v->opset);
    const struct onnx_read_options options = {.height = 8, .width = 8, .student = v->student};
    const enum status status = onnx_read(graph, model.bytes, model.size, "variant.onnx", &options, &err);
    const bool right = status == STATUS_OK
                           ? graph->output >= 0 && graph->output < graph->node_count && graph->input >= 0
                           : (status == STATUS_BAD_DATA || status == STATUS_CONFIG) && strlen(err.message) > 5 &&
                                 graph->node_count == 0;
    if (!right && wrong++ < 10)
        print_message("'%s' behind '%s', shape %d, operator set %d: status %d, '%s'\n", v->line, v->way ? v->way : "",
                      v->shape, v->opset, status, err.message);
    made++;
    read_well += status == STATUS_OK;
    proto_release(&model);
    return status;
}

static enum status read_variant(const char *line, int shape, int opset)
{
    struct graph graph;
    const enum status status = read_graph(&(struct variant){.line = line, .shape = shape, .opset = opset}, &graph);
    graph_release(&graph);
    return status;
}

/* The line without word number `number` (from 0, behind the operator), or with another in its place. */
static bool replace_word(char out[512], const char *line, int number, const char *other)
{
    const char *word = strchr(line + 2, ' ');
    for (; word && number > 0; number--)
        word = strchr(word + 1, ' ');
    if (!word)
        return false;
    const char *end = word + 1 + strcspn(word + 1, " ");
    snprintf(out, 512, "%.*s%s%s%s", (int)(word - line), line, *other ? " " : "", other, end);
    return true;
}

static void try_words(const char *line, int opset)
{
    static const char *const inputs[] = {"",
                                         "_",
                                         "x",
                                         "shape",
                                         "f",
                                         "f0",
                                         "f2x3",
                                         "f3x1x1",
                                         "f1x1x1x1x1x1x1x1x1",
                                         "i",
                                         "i0",
                                         "i3",
                                         "i-1",
                                         "i1,1",
                                         "n0",
                                         "n-7",
                                         "n1099511627776",
                                         "i9223372036854775807",
                                         "i-9223372036854775808,2",
                                         "b1,0",
                                         "i2,2,2,2,2,2,2,2,2"};
    static const char *const values[] = {"=-9223372036854775808",
                                         "=-1",
                                         "=0",
                                         "=1",
                                         "=2",
                                         "=7",
                                         "=65537",
                                         "=4294967297",
                                         "=1,",
                                         "=0,0",
                                         "=9,9",
                                         "=-1,-1,-1,-1",
                                         "=1,1,1,1,1,1,1,1,1",
                                         "~nan",
                                         "~-1",
                                         "~1e30",
                                         "~1,1,1,1",
                                         ":nonsense",
                                         ":linear",
                                         ":SAME_UPPER"};
    char text[512], word[128], other[160];
    for (int number = 0; replace_word(text, line, number, ""); number++) {
        read_variant(text, 0, opset);
        const char *at = line + 2;
        for (int i = -1; i < number; i++)
            at = strchr(at, ' ') + 1;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " "), at);
        const size_t name = strcspn(word, "=~:");
        const bool attribute = word[name] != '\0';
        const size_t count = attribute ? sizeof values / sizeof *values : sizeof inputs / sizeof *inputs;
        for (size_t i = 0; i < count; i++) {
            snprintf(other, sizeof other, "%.*s%s", attribute ? (int)name : 0, word, attribute ? values[i] : inputs[i]);
            replace_word(text, line, number, other);
            read_variant(text, 0, opset);
        }
    }
}

static void variants_are_read_or_refused(void **state)
{
    (void)state;
    static const int sets[] = {6, 9, 10, 11, 13, 18, 21};
    for (int i = 0; i < onnx_case_count; i++) {
        const char *line = onnx_cases[i];
        char text[512];
        int known = 0;
        for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
            known += read_variant(line, 0, sets[k]) == STATUS_OK;
        for (int shape = 1; shape < ONNX_CASE_SHAPES; shape++)
            read_variant(line, shape, 13);
        try_words(line, 11);
        try_words(line, 18);
        snprintf(text, sizeof text, "%s f2x3 f2x3 f2x3 f2x3", line);
        read_variant(text, 0, 13);
        if ((known > 0) == (line[0] == 'r'))
            wrong++, print_message("'%s' is read with %d operator sets\n", line, known);
    }
    print_message("%d models, %d of them read\n", made, read_well);
    assert_int_equal(wrong, 0);
    assert_true(read_well > made / 20);
}

/* The line, and behind it `way`, which reads the line's result. */
static void put_behind(char out[512], const char *line, const char *way)
{
    int used = snprintf(out, 512, "%s |", line);
    for (const char *word = way; *word; word += strcspn(word, " ") + (word[strcspn(word, " ")] == ' ')) {
        const int length = (int)strcspn(word, " ");
        const bool input = length == 1 && *word == 'x';
        used += snprintf(out + used, 512 - (size_t)used, " %.*s", length, input ? "p" : word);
    }
}

static void values_are_seen_in_every_way(void **state)
{
    (void)state;
    char text[512];
    for (int i = 0; i < onnx_case_count; i++)
        for (int k = 0; k < onnx_way_count * 4 && onnx_cases[i][0] != 'c'; k++) {
            struct graph graph;
            const char *way = onnx_ways[k / 4];
            struct variant v = {.way = way, .line = onnx_cases[i], .opset = k % 2 ? 18 : 11, .student = k & 2};
            read_graph(&v, &graph);
            graph_release(&graph);
            put_behind(text, onnx_cases[i], way);
            v.way = NULL;
            v.line = text;
            read_graph(&v, &graph);
            graph_release(&graph);
        }
    assert_int_equal(wrong, 0);
}

/* Whether two models compute the same, up to the order of sums; where one has no finite number the other has none. */
static bool same_values(const struct graph *a, const struct graph *b)
{
    const size_t count = export_elements(a, a->output);
    bool same = count == export_elements(b, b->output);
    float *x = export_forward(a, a->output, 2), *y = export_forward(b, b->output, 2);
    for (size_t i = 0; same && i < 2 * count; i++)
        same = isfinite(x[i]) ? fabsf(x[i] - y[i]) <= 1e-5f + 1e-5f * fabsf(x[i]) : !isfinite(y[i]);
    free(x);
    free(y);
    return same;
}

/* compared[i]: how many models have identity i. */
static void compare(const struct graph *plain, struct variant v, const char *identity, int *compared)
{
    struct graph graph;
    if (read_graph(&v, &graph) == STATUS_OK) {
        ++*compared;
        if (!same_values(plain, &graph) && wrong++ < 10)
            print_message("'%s', operator set %d, is not the same with '%s'\n", v.line, v.opset, identity);
    }
    graph_release(&graph);
}

static void operators_that_change_nothing(void **state)
{
    (void)state;
    static const int sets[] = {18, 11, 9, 6};
    int before[64] = {0}, behind[64] = {0};
    char text[512];
    assert_true(onnx_identity_count <= 64);
    for (int i = 0; i < onnx_case_count; i++)
        for (size_t k = 0; k < sizeof sets / sizeof *sets && onnx_cases[i][0] == 'x'; k++) {
            const char *line = onnx_cases[i];
            struct graph plain;
            struct variant v = {.line = line, .opset = sets[k]};
            if (read_graph(&v, &plain) == STATUS_OK) {
                const struct shape s = plain.nodes[plain.output].shape;
                const bool same_shape = s.c == 3 && s.h == 8 && !strstr(line, "Transpose") &&
                                        !strstr(line, "Reshape") && !strstr(line, "Flatten");
                for (int m = 0; m < onnx_identity_count; m++) {
                    v.way = onnx_identities[m];
                    v.line = line;
                    compare(&plain, v, v.way, &before[m]);
                    put_behind(text, line, v.way);
                    v.way = NULL;
                    v.line = text;
                    if (same_shape)
                        compare(&plain, v, onnx_identities[m], &behind[m]);
                }
            }
            graph_release(&plain);
        }
    for (int m = 0; m < onnx_identity_count; m++)
        if (before[m] < 20 || behind[m] < 20)
            wrong++,
                print_message("'%s' is read before %d and behind %d lines\n", onnx_identities[m], before[m], behind[m]);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(variants_are_read_or_refused),
                                       cmocka_unit_test(values_are_seen_in_every_way),
                                       cmocka_unit_test(operators_that_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
