/* Every operator that the ONNX reader knows, in small models (helper_onnx_cases.h) with one thing changed: an input is
 * left out, or of another type or rank; an attribute has another value; another shape of the image; another operator
 * set; another operator before it or behind it. What comes out is a graph, or an error that names the file and says
 * something. A sanitizer sees the rest. Operators that change nothing must leave the values as they are. */
#include "formats/onnx/onnx_read.h"
#include "formats/export/student_py.h"
#include "formats/onnx/onnx_write.h"
#include "shared/graph/graph_reference.h"
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
    wrong = 0;
    static const int sets[] = {6, 9, 10, 11, 13, 18, 21};
    for (int i = 0; i < onnx_case_count; i++) {
        const char *line = onnx_cases[i];
        char text[512];
        int known = 0;
        for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
            known += read_variant(line, 0, sets[k]) == STATUS_OK;
        for (int shape = 1; shape < ONNX_CASE_SHAPES; shape++)
            read_variant(line, shape, 13);
        try_words(line, 18);
        if (line[0] != 'r')
            try_words(line, 11);
        snprintf(text, sizeof text, "%s f2x3 f2x3 f2x3 f2x3", line);
        read_variant(text, 0, 13);
        if ((known > 0) == (line[0] == 'r'))
            wrong++, print_message("'%s' is read with %d operator sets\n", line, known);
    }
    print_message("%d models, %d of them read\n", made, read_well);
    assert_int_equal(wrong, 0);
    assert_true(read_well > made / 20);
}

static void values_are_seen_in_every_way(void **state)
{
    (void)state;
    wrong = 0;
    char text[512];
    for (int i = 0; i < onnx_case_count; i++)
        for (int m = 0; m < 4 && onnx_cases[i][0] != 'c'; m++) {
            struct graph plain, graph;
            struct variant v = {.line = onnx_cases[i], .opset = m % 2 ? 18 : 11, .student = m & 2};
            const bool known = read_graph(&v, &plain) == STATUS_OK;
            for (int k = 0; k < onnx_way_count; k++) {
                v.way = onnx_ways[k];
                v.line = onnx_cases[i];
                const bool whole = strstr(v.way, "Expand p i1,3,8,8"); /* of the size of the input */
                if (read_graph(&v, &graph) == STATUS_OK && known && whole &&
                    export_elements(&graph, graph.output) != export_elements(&plain, plain.output))
                    wrong++, print_message("'%s' has another size behind '%s'\n", v.line, v.way);
                graph_release(&graph);
                onnx_case_behind(text, onnx_cases[i], v.way);
                v.way = NULL;
                v.line = text;
                read_graph(&v, &graph);
                graph_release(&graph);
            }
            graph_release(&plain);
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
    wrong = 0;
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
                    onnx_case_behind(text, line, v.way);
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

/* Writes the graph and reads it again. */
static void write_and_read(const struct graph *graph, const struct variant *v)
{
    const struct onnx_read_options options = {.height = 8, .width = 8, .student = v->student};
    struct error err = {0};
    struct graph again = {0};
    uint8_t *bytes = NULL;
    size_t size;
    enum status status = onnx_write(graph, &bytes, &size, &err);
    if (status == STATUS_OK)
        status = onnx_read(&again, bytes, size, "written.onnx", &options, &err);
    if ((status != STATUS_OK || !same_values(graph, &again)) && wrong++ < 10)
        print_message("'%s' behind '%s', operator set %d, written and read again: status %d, '%s'\n", v->line,
                      v->way ? v->way : "", v->opset, status, err.message);
    graph_release(&again);
    free(bytes);
}

/* Writes the graph as student.py, if it has such a form: its brackets close. */
static void write_python(const struct graph *graph, const struct variant *v)
{
    struct error err = {0};
    char *text = NULL;
    size_t size = 0;
    int open = 0;
    bool closed = true;
    const enum status status = student_py_write(graph, NULL, &text, &size, &err);
    for (size_t i = 0; status == STATUS_OK && i < size; i++) {
        open += strchr("([{", text[i]) && text[i] ? 1 : strchr(")]}", text[i]) && text[i] ? -1 : 0;
        closed = closed && open >= 0;
    }
    const bool right = status == STATUS_OK ? size > 0 && closed && open == 0 : status == STATUS_CONFIG;
    if (!right && wrong++ < 10)
        print_message("'%s' behind '%s', operator set %d, as student.py: status %d, '%s'\n", v->line,
                      v->way ? v->way : "", v->opset, status, err.message);
    free(text);
}

/* Students are exported as ONNX and as Python. */
static void what_is_read_can_be_written(void **state)
{
    (void)state;
    wrong = 0;
    static const int sets[] = {18, 11, 9};
    for (int i = 0; i < onnx_case_count; i++)
        for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
            for (int way = -1; way < onnx_way_count; way++) {
                const struct variant v = {
                    .way = way < 0 ? NULL : onnx_ways[way], .line = onnx_cases[i], .opset = sets[k], .student = true};
                struct graph graph;
                if (read_graph(&v, &graph) == STATUS_OK) {
                    write_and_read(&graph, &v);
                    write_python(&graph, &v);
                }
                graph_release(&graph);
                if (onnx_cases[i][0] == 'c' || k > 0)
                    break;
            }
    assert_int_equal(wrong, 0);
}

/* Lines of constants, whose result is x times the sum of the folded numbers. */
static void constants_have_the_right_sums(void **state)
{
    (void)state;
    wrong = 0;
    static const struct {
        const char *line;
        double sum;
    } cases[] = {{"c Cast i0,1,-2 to=9", 2},
                 {"c Cast v0,0.25,-2.75 to=9", 2},
                 {"c Cast v0,inf,-inf,1e30,-2.75 to=9", 4},
                 {"c Cast v0,0.25,-2.75 to=7", -2},
                 {"c Cast i300,-301 to=2", 44 + 211},
                 {"c Cast i300,-300 to=3", 44 - 44},
                 {"c Cast i200,-200 to=3", -56 + 56},
                 {"c Cast i65537,-2 to=4", 1 + 65534},
                 {"c Cast i32769,2 to=5", -32767 + 2},
                 {"c Cast i4294967298,3 to=12", 5},
                 {"c Cast i4294967298,-1 to=6", 1},
                 {"c Cast i5,1 to=13", 6},
                 {"c CastLike i1,2 b1,0", 2},
                 {"c CastLike v0.25,2.5 i1,2", 2},
                 {"c ConstantOfShape i2,3", 0},
                 {"c ConstantOfShape i2,3 value@v0.5,", 3},
                 {"c ConstantOfShape i2,3 value@i7", 42},
                 {"c Constant value@i3,4", 7},
                 {"c Add v1,2 v0.5", 4},
                 {"c Sub i1,2 n3", -3},
                 {"c Mul i2,3 i4,5", 23},
                 {"c Div i7,8 n-3", -4},
                 {"c Div v1,2 v4", 0.75},
                 {"c Mod i7,-8 n3", 1 + 1},
                 {"c Mod v7,-8 v3 fmod=1", 1 - 2},
                 {"c Pow v2,3 v2", 13},
                 {"c Min i1,5 i4,2", 3},
                 {"c Max v1,5 v4,2", 9},
                 {"c And b1,0 b1,1", 1},
                 {"c Or b1,0 b0,0", 1},
                 {"c Not b1,0,0", 2},
                 {"c Equal v1,2 v1,3", 1},
                 {"c Greater i1,2 n1", 1},
                 {"c GreaterOrEqual i1,2 n1", 2},
                 {"c Less v1,2 v1.5", 1},
                 {"c LessOrEqual i1,2 n1", 1},
                 {"c Where b1,0 v1,2 v3,4", 5},
                 {"c Where b1,0,1 i1,2,3 n7", 11},
                 {"c Clip v-1,0.5,9 v0 v2", 2.5},
                 {"c Abs i-1,2", 3},
                 {"c Neg v1,2", -3},
                 {"c Sign i-5,0,2", 0},
                 {"c Ceil v0.5,-0.5", 1},
                 {"c Floor v0.5,-0.5", -1},
                 {"c Round v0.5,1.5,2.4", 4},
                 {"c Sqrt v4,9", 5},
                 {"c Reciprocal v4,2", 0.75},
                 {"c ReduceL1 v-1,2", 3},
                 {"c ReduceL2 v3,4", 5},
                 {"c ReduceMax i1,5,4", 5},
                 {"c ReduceMin v3,-1", -1},
                 {"c ReduceMean v1,2,4,5", 3},
                 {"c ReduceProd i3,2", 6},
                 {"c ReduceSumSquare v3,4", 25},
                 {"c Range n1 n9 n3", 12},
                 {"c Range v0 v2 v0.5", 3},
                 {"c Slice i5,6,7,8 i1 i3", 13},
                 {"c Gather i5,6,7 i0,-1", 12},
                 {"c Concat i1,2 i i3 axis=0", 6},
                 {"c Size f2x3", 6},
                 {"c Shape f2x3x4 start=-2 end=3", 7},
                 {"c Expand v3 i2,3", 18}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int opset = 11; opset <= 18; opset += 7) {
            struct graph graph;
            float input[192], *found;
            if (read_graph(&(struct variant){.line = cases[i].line, .opset = opset}, &graph) != STATUS_OK) {
                graph_release(&graph);
                assert_true(opset == 11 || (wrong++, print_message("'%s' is not read\n", cases[i].line), true));
                continue;
            }
            export_fill(input, 192);
            found = export_forward(&graph, graph.output, 1);
            for (size_t k = 0; k < 192; k++)
                if (!(fabs(found[k] - input[k] * cases[i].sum) <= 1e-5 * (1 + fabs(input[k] * cases[i].sum)))) {
                    wrong++, print_message("'%s' is %g for %g\n", cases[i].line, (double)found[k] / (double)input[k],
                                           cases[i].sum);
                    break;
                }
            free(found);
            graph_release(&graph);
        }
    assert_int_equal(wrong, 0);
}

/* A number behind a Cast is what the Cast has made of it: 0.5 is 0 as an integer and 1 as a bool. */
static void numbers_are_what_casts_make(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        float input[3], right[3];
    } cases[] = {
        {"x Constant value@v0.5 | Cast p to=7 | Cast>E p to=1 | ReduceMean>M x axes=1, | Sub>D x M | Mul p D | "
         "ReduceMean p axes=1, | Add p E | Sqrt p | Div D p",
         {1, 2, 3},
         {-1.2247449f, 0, 1.2247449f}},
        {"x Constant value@v0.5 | Cast p to=9 | Cast>E p to=1 | ReduceL2 x axes=1, keepdims=1 | Max p E | Div x p",
         {0.1f, 0.2f, 0.3f},
         {0.1f, 0.2f, 0.3f}},
        {"x Constant value@v2.5 | Cast p to=7 | Cast>E p to=1 | Pow x E | ReduceSum p axes=1, keepdims=1 | Sqrt p | "
         "Max p v1e-6 | Div x p",
         {2, 3, 6},
         {2.0f / 7, 3.0f / 7, 6.0f / 7}},
        {"x Constant value@v2.5 | Cast p to=7 | Cast>E p to=1 | ReduceL2 x axes=1, keepdims=1 | Max p E | Div x p",
         {0.5f, 1, 1},
         {0.25f, 0.5f, 0.5f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct graph graph;
        struct error err = {0};
        float found[3];
        assert_int_equal(read_graph(&(struct variant){.line = cases[i].line, .shape = 6, .opset = 11}, &graph),
                         STATUS_OK);
        assert_int_equal(graph_forward_reference(&graph, cases[i].input, 1, graph.output, found, &err), STATUS_OK);
        for (int k = 0; k < 3; k++)
            if (!(fabsf(found[k] - cases[i].right[k]) <= 1e-6f))
                fail_msg("'%s' makes %g of %g", cases[i].line, (double)found[k], (double)cases[i].input[k]);
        graph_release(&graph);
    }
}

/* A size that is computed from the batch is either the batch, or refused: a Reshape to it changes no value. */
static void sizes_from_the_batch(void **state)
{
    (void)state;
    wrong = 0;
    static const char *const ops[] = {"Add",         "Sub", "Mul",  "Div",     "Mod",  "Pow",
                                      "Min",         "Max", "And",  "Greater", "Less", "GreaterOrEqual",
                                      "LessOrEqual", "Or",  "Equal"};
    static const char *const alone[] = {"Neg",       "Abs",      "Sign",       "Not",        "Cast to=1", "Cast to=6",
                                        "Cast to=9", "Identity", "Ceil",       "ReduceMax",  "ReduceSum", "ReduceProd",
                                        "ReduceMin", "ReduceL1", "ReduceMean", "Where b1 n1"};
    static const char *const numbers[] = {"n0", "n1", "n2", "n-1", "i1", "f", "p"};
    const int op_count = sizeof ops / sizeof *ops, alone_count = sizeof alone / sizeof *alone;
    const int number_count = sizeof numbers / sizeof *numbers;
    struct graph plain;
    assert_int_equal(read_graph(&(struct variant){.line = "x Identity x", .opset = 18}, &plain), STATUS_OK);
    int read = 0;
    for (int i = 0; i < 2 * op_count * number_count + alone_count; i++) {
        struct graph graph;
        char text[512], step[64];
        const int k = i / 2 % number_count, op = i / 2 / number_count;
        if (i >= 2 * op_count * number_count) {
            const char *word = alone[i - 2 * op_count * number_count];
            const int length = (int)strcspn(word, " ");
            snprintf(step, sizeof step, "%.*s%s p", length, word, word + length);
        } else {
            snprintf(step, sizeof step, i % 2 ? "%s p %s" : "%s %s p", ops[op], numbers[k]);
            if (i % 2 == 0)
                snprintf(step, sizeof step, "%s %s p", ops[op], numbers[k]);
        }
        for (int shape = 0; shape < 6; shape += 5) { /* without and with a size of the batch */
            snprintf(text, sizeof text,
                     "x Shape x | Slice p i0 i1 | %s | Cast p to=7 | Concat p i-1 axis=0 | Reshape x p", step);
            if (read_graph(&(struct variant){.line = text, .opset = 18, .shape = shape}, &graph) == STATUS_OK) {
                read++;
                if (export_elements(&graph, graph.output) == 192 && !same_values(&plain, &graph))
                    wrong++, print_message("'%s' changes the values\n", text);
                if (export_elements(&graph, graph.output) != 192)
                    wrong++, print_message("'%s' has %zu values\n", text, export_elements(&graph, graph.output));
            }
            graph_release(&graph);
        }
    }
    graph_release(&plain);
    print_message("%d sizes are the batch\n", read);
    assert_true(read > 20);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_are_read_or_refused),  cmocka_unit_test(values_are_seen_in_every_way),
        cmocka_unit_test(operators_that_change_nothing), cmocka_unit_test(what_is_read_can_be_written),
        cmocka_unit_test(constants_have_the_right_sums), cmocka_unit_test(sizes_from_the_batch),
        cmocka_unit_test(numbers_are_what_casts_make)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
