/* Every operator that the ONNX reader knows, in small models (helper_onnx_cases.h) with one thing changed: an input is
 * left out, or of another type or rank; an attribute has another value; another shape of the image; another operator
 * set. What comes out is a graph, or an error that names the file and says something. A sanitizer sees the rest. */
#include "formats/onnx/onnx_read.h"
#include "tests/helper_onnx_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int made, read_well, wrong;

static enum status read_variant(const char *line, int shape, int opset)
{
    struct proto model = {0};
    struct graph graph = {0};
    struct error err = {0};
    onnx_case_model(&model, line, shape, opset);
    const struct onnx_read_options options = {.height = 8, .width = 8};
    const enum status status = onnx_read(&graph, model.bytes, model.size, "variant.onnx", &options, &err);
    const bool right = status == STATUS_OK ? graph.output >= 0 && graph.output < graph.node_count && graph.input >= 0
                                           : (status == STATUS_BAD_DATA || status == STATUS_CONFIG) &&
                                                 strlen(err.message) > 5 && graph.node_count == 0;
    if (!right && wrong++ < 10)
        print_message("'%s', shape %d, operator set %d: status %d, '%s'\n", line, shape, opset, status, err.message);
    made++;
    read_well += status == STATUS_OK;
    graph_release(&graph);
    proto_release(&model);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(variants_are_read_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
