/* .net files: the presets, names, every layer, and what is wrong with a hostile one. */
#include "formats/net/net_text.h"
#include "student_train/student/preset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static enum status parse(struct graph *graph, const char *text, int size, int classes, struct error *err)
{
    struct net_text_options options = {.path = "test.net", .channels = 3, .size = size, .classes = classes};
    return net_text_parse(graph, text, strlen(text), &options, err);
}

static size_t preset_parameters(const char *name, int size, int classes)
{
    struct error err = {0};
    struct graph graph;
    const struct preset *preset;
    assert_int_equal(preset_find(name, size, &preset, &err), STATUS_OK);
    if (parse(&graph, preset->text, size, classes, &err) != STATUS_OK)
        fail_msg("%s: %s", name, err.message);
    size_t count = graph_parameter_count(&graph);
    graph_release(&graph);
    return count;
}

static void presets_have_the_published_sizes(void **state)
{
    (void)state;
    assert_int_equal(preset_parameters("dwpw", 224, 11), 57731);
    assert_int_equal(preset_parameters("dwpw", 32, 11), 56779);
    assert_int_equal(preset_parameters("hw13-sample", 224, 11), 59723);
    assert_int_equal(preset_parameters("hw13-strong", 224, 11), 58127);
    assert_int_equal(preset_parameters("mobile-se", 224, 11), 37027);
    assert_int_equal(preset_parameters("convnext-tiny", 224, 11), 53051);
    assert_int_equal(preset_parameters("res5", 224, 11), 58555);
    assert_int_equal(preset_parameters("res5", 32, 11), 59643);
    assert_int_equal(preset_parameters("ir5", 224, 11), 58499);
    assert_int_equal(preset_parameters("res-se", 224, 11), 54651);
    assert_int_equal(preset_parameters("res-se", 28, 11), 54651);
    assert_int_equal(preset_parameters("shuffle", 224, 11), 58767);
    assert_int_equal(preset_parameters("mcunet", 224, 11), 59267);
    assert_int_equal(preset_parameters("branches-32", 32, 11), 58974);
    assert_int_equal(preset_parameters("lightnn", 32, 10), 267738);
    assert_int_equal(preset_parameters("deepnn", 32, 10), 1186986);
    assert_int_equal(preset_parameters("resnet18", 224, 1000), 11689512);
    assert_int_equal(preset_parameters("speed", 224, 11), 50411);
}

static void multiplies_of_dwpw(void **state)
{
    (void)state;
    struct graph graph;
    const struct preset *preset;
    assert_int_equal(preset_find("dwpw", 224, &preset, NULL), STATUS_OK);
    assert_int_equal(parse(&graph, preset->text, 224, 11, NULL), STATUS_OK);
    assert_in_range(graph_multiply_count(&graph), 34700000, 34900000);
    graph_release(&graph);
}

static void names_are_pytorchs(void **state)
{
    (void)state;
    struct graph graph;
    const struct preset *preset;
    assert_int_equal(preset_find("resnet18", 224, &preset, NULL), STATUS_OK);
    assert_int_equal(parse(&graph, preset->text, 224, 10, NULL), STATUS_OK);
    static const char *const expected[] = {"conv1.weight",
                                           "bn1.running_var",
                                           "layer1.0.conv2.weight",
                                           "layer2.0.downsample.0.weight",
                                           "layer2.0.downsample.1.running_mean",
                                           "layer4.1.bn2.bias",
                                           "fc.weight",
                                           "fc.bias"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (graph_find_weight(&graph, expected[i]) < 0)
            fail_msg("no weight %s", expected[i]);
    assert_int_equal(graph_find_weight(&graph, "conv1.bias"), -1);
    graph_release(&graph);
}

static void every_layer(void **state)
{
    (void)state;
    struct error err = {0};
    struct graph graph;
    const char *text = "# a net with everything\n"
                       "input 3 20 20\n"
                       "conv a 8 3x5 /2 pad 1 dilation 1 nobias   # comment\r\n"
                       "bn eps 0.001 momentum 0.01\n"
                       "relu6 as r\n"
                       "\n"
                       "conv b 8 1 groups 4\n"
                       "hardswish\n"
                       "add r as sum\n"
                       "leaky_relu 0.2\n"
                       "from sum\n"
                       "dwpw c 12 0.1 /2 bias\n"
                       "maxpool 3 /2 pad 1 ceil\n"
                       "concat c_pool c_pool as both\n"
                       "avgpool 2 /1 pad 1\n"
                       "dropout 0.3\n"
                       "fc d 7 nobias\n"
                       "relu\n"
                       "fc e classes";
    if (parse(&graph, text, 20, 4, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    const struct node *a = &graph.nodes[graph_find(&graph, "a")], *b = &graph.nodes[graph_find(&graph, "b")];
    assert_int_equal(a->kernel_h, 3);
    assert_int_equal(a->kernel_w, 5);
    assert_int_equal(a->bias, -1);
    assert_int_equal(b->groups, 4);
    assert_true(b->bias >= 0);
    const struct node *bn = &graph.nodes[graph_find(&graph, "a_bn")];
    assert_float_equal(bn->epsilon, 0.001, 1e-9);
    assert_float_equal(bn->momentum, 0.01, 1e-9);
    const struct node *sum = &graph.nodes[graph_find(&graph, "sum")];
    assert_int_equal(sum->inputs[0], graph_find(&graph, "b_hardswish"));
    assert_int_equal(sum->inputs[1], graph_find(&graph, "r"));
    const struct node *dw = &graph.nodes[graph_find(&graph, "c.dw")];
    assert_int_equal(dw->inputs[0], graph_find(&graph, "sum"));
    assert_int_equal(dw->groups, 8);
    assert_int_equal(graph.nodes[graph_find(&graph, "c")].activation, ACTIVATION_LEAKY_RELU);
    assert_int_equal(graph.nodes[graph_find(&graph, "both")].shape.c, 24);
    assert_int_equal(graph.output, graph.node_count - 1);
    graph_release(&graph);
}

/* The same graph, whatever its values and weights are called. */
static void assert_same_layers(const struct graph *a, const struct graph *b)
{
    assert_int_equal(a->node_count, b->node_count);
    for (int i = 0; i < a->node_count; i++) {
        const struct node *x = &a->nodes[i], *y = &b->nodes[i];
        assert_int_equal(x->op, y->op);
        assert_int_equal(x->activation, y->activation);
        assert_float_equal(x->alpha, y->alpha, 0);
        assert_float_equal(x->beta, y->beta, 0);
        assert_memory_equal(&x->shape, &y->shape, sizeof x->shape);
        assert_int_equal(x->kernel_h, y->kernel_h);
        assert_int_equal(x->kernel_w, y->kernel_w);
        assert_int_equal(x->stride_h, y->stride_h);
        assert_int_equal(x->dilation_w, y->dilation_w);
        assert_int_equal(x->groups, y->groups);
        assert_int_equal(x->bias >= 0, y->bias >= 0);
        for (int k = 0; k < x->input_count; k++)
            assert_int_equal(x->inputs[k], y->inputs[k]);
    }
}

/* A block is what its plain lines are. */
static void blocks_are_plain_lines(void **state)
{
    (void)state;
    static const char blocks[] = "conv stem 8 3x3 pad 1 nobias\n"
                                 "residual a 8 5x5\n"           /* adds its input */
                                 "residual b 12 3x3 /2 relu6\n" /* other channels, stride: does not */
                                 "residual c 12 3x3 noskip dilation 2 bias\n"
                                 "inverted d 12 24 7x7 silu se 6\n"
                                 "inverted e 16 12 3x3 se 4\n" /* no expansion: 12 channels already */
                                 "gap\nfc classifier classes\n";
    static const char plain[] =
        "conv stem 8 3x3 pad 1 nobias\n"
        "conv a1 8 5x5 pad 2 groups 8 nobias\nbn\nhardswish\nconv a2 8 1 nobias\nbn\nadd stem as a\n"
        "conv b1 8 3x3 /2 groups 8 nobias pad 1\nbn\nrelu6\nconv b2 12 1 nobias\nbn as b\n"
        "conv c1 12 3x3 pad 2 dilation 2 groups 12\nbn\nhardswish\nconv c2 12 1\nbn as c\n"
        "conv d1 24 1 nobias\nbn\nsilu\nconv d2 24 7x7 pad 3 groups 24 nobias\nbn\nsilu\nse d3 6 silu\n"
        "conv d4 12 1 nobias\nbn\nadd c as d\n"
        "conv e1 12 3x3 pad 1 groups 12 nobias\nbn\nhardswish\nse e2 4 hard\nconv e3 16 1 nobias\nbn\n"
        "gap\nfc classifier classes\n";
    struct error err = {0};
    struct graph a, b;
    if (parse(&a, blocks, 20, 5, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (parse(&b, plain, 20, 5, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_same_layers(&a, &b);
    assert_true(graph_find_weight(&a, "b.pw_bn.running_var") >= 0); /* though the value is called b */
    assert_true(graph_find_weight(&a, "d.se.fc1.weight") >= 0);
    assert_int_equal(graph_find(&a, "e.expand"), -1);
    graph_release(&a);
    graph_release(&b);
    assert_int_equal(parse(&a, "residual a 3 3x5\ngap\nfc classifier classes", 20, 5, &err), STATUS_OK);
    assert_int_equal(a.nodes[graph_find(&a, "a.dw")].pad_top, 1);
    assert_int_equal(a.nodes[graph_find(&a, "a.dw")].pad_right, 2);
    assert_int_equal(a.nodes[graph_find(&a, "a")].op, OP_ADD);
    graph_release(&a);
}

/* Nearest takes from floor(i / factor), linear from (i + 0.5) / factor - 0.5, as PyTorch does. */
static void upsampling(void **state)
{
    (void)state;
    struct error err = {0};
    struct graph graph;
    if (parse(&graph, "conv a 4 3x3\nupsample 3\nupsample 2 linear as b\nfc c classes", 10, 5, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    const struct node *nearest = &graph.nodes[graph_find(&graph, "a_upsample")],
                      *linear = &graph.nodes[graph_find(&graph, "b")];
    assert_int_equal(nearest->shape.h, 24);
    assert_int_equal(nearest->resize.mode, RESIZE_NEAREST_FLOOR);
    assert_float_equal(nearest->resize.y.before, 0, 0);
    assert_int_equal(linear->shape.w, 48);
    assert_int_equal(linear->resize.mode, RESIZE_LINEAR);
    assert_float_equal(linear->resize.x.scale, 2, 0);
    assert_float_equal(linear->resize.x.before, 0.5, 0);
    assert_float_equal(linear->resize.x.after, -0.5, 0);
    graph_release(&graph);
}

static void reports_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
        const char *message; /* is part of it */
    } cases[] = {
        {"covn a 3 3x3", STATUS_BAD_DATA, "line 1: unknown layer 'covn', did you mean 'conv'?"},
        {"\n\nzzzzzz", STATUS_BAD_DATA, "line 3: unknown layer 'zzzzzz'; layers are: input, conv"},
        {"conv a 3", STATUS_BAD_DATA, "too few words; write: conv NAME CHANNELS"},
        {"conv a x 3x3", STATUS_BAD_DATA, "whole number"},
        {"conv a -1 3x3", STATUS_BAD_DATA, "whole number"},
        {"conv a 99999999999999999999 3x3", STATUS_BAD_DATA, "whole number"},
        {"conv a 3 3x", STATUS_BAD_DATA, "not a window size"},
        {"conv a 3 3x3 /0", STATUS_BAD_DATA, "not a stride"},
        {"conv a 3 3x3 pda 1", STATUS_BAD_DATA, "did you mean 'pad'?"},
        {"conv a 3 3x3 ceil", STATUS_BAD_DATA, "does not take 'ceil'"},
        {"conv a 4 3x3 groups 2", STATUS_BAD_DATA, "2 groups do not divide 3 channels"},
        {"conv a 4 3x3\nconv a 4 3x3", STATUS_BAD_DATA, "line 2: the name 'a' is used twice"},
        {"conv 4 4 3x3", STATUS_BAD_DATA, "'4' is not a name"},
        {"conv a 4 33x33", STATUS_CONFIG, "smaller than its 33x33 window"},
        {"conv a 1000000 1000x1000", STATUS_BAD_DATA, "more than 134217728 weights"},
        {"residual a 4", STATUS_BAD_DATA, "too few words; write: residual NAME CHANNELS SIZE"},
        {"residual a 4 2x2", STATUS_BAD_DATA, "window of odd size"},
        {"inverted a 4 3x3", STATUS_BAD_DATA, "whole number"},
        {"inverted a 4 8 3x3 hardwish", STATUS_BAD_DATA, "did you mean 'hardswish'?"},
        {"inverted a 4 8 3x3 se", STATUS_BAD_DATA, "number of channels of se"},
        {"conv a 4 3x3\nadd b", STATUS_BAD_DATA, "line 2: no layer above is named 'b'"},
        {"conv a 4 3x3\nadd input", STATUS_CONFIG, "line 2: node 'a_add'"},
        {"conv a 4 3x3\nfrom a input", STATUS_BAD_DATA, "line 2: from takes one name, not 2"},
        {"dropout 1", STATUS_BAD_DATA, "below 1"},
        {"upsample 0", STATUS_BAD_DATA, "whole number"},
        {"upsample 4097", STATUS_BAD_DATA, "16x16 times 4097 is too large"},
        {"upsample 2 bilinear", STATUS_BAD_DATA, "write: upsample FACTOR [linear]"},
        {"dropout nan", STATUS_BAD_DATA, "does not take 'nan'"},
        {"relu\ninput 3 16 16", STATUS_BAD_DATA, "before all layers"},
        {"input 3 224 224", STATUS_CONFIG, "made for 3x224x224, but the images are 3x16x16"},
        {"gap\nfc a 7", STATUS_CONFIG, "its output is 7x1x1, but there are 5 classes"},
        {"", STATUS_BAD_DATA, "has no layers"},
        {"conv \x01 4 3x3", STATUS_BAD_DATA, "not printable ASCII"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct graph graph;
        enum status status = parse(&graph, cases[i].text, 16, 5, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message))
            fail_msg("'%s' gave %d: %s", cases[i].text, (int)status, err.message);
        assert_string_equal(err.path, "test.net");
    }
}

/* Layers without names get the first free number, in a time that does not grow with the cube of their number. */
static void many_layers_without_names(void **state)
{
    (void)state;
    struct graph graph;
    struct error err = {0};
    char *text = calloc(1, 16 * 2100);
    strcpy(text, "conv a_relu2 4 3x3\nconv a 4 3x3\nrelu\nrelu\nrelu\ngap\nfc fc 5\n");
    assert_int_equal(parse(&graph, text, 16, 5, &err), STATUS_OK);
    static const char *const names[] = {"a_relu", "a_relu2", "a_relu3", "a_relu4"}; /* 2 was taken */
    for (int i = 0; i < 4; i++)
        assert_true(graph_find(&graph, names[i]) >= 0);
    graph_release(&graph);
    strcpy(text, "conv a 4 3x3\n");
    for (int i = 0; i < 2050; i++)
        strcat(text, "relu\n");
    const clock_t start = clock();
    assert_int_equal(parse(&graph, text, 16, 5, &err), STATUS_BAD_DATA);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_non_null(strstr(err.message, "line 2001: more than 2000 layers"));
    print_message("# 2000 layers without names: %.3f s\n", seconds);
    assert_true(seconds < 1); /* it took 6.5 s */
    free(text);
}

/* Every prefix and every one-byte change of a good file is parsed or refused, never more. */
static void survives_damage(void **state)
{
    (void)state;
    const struct preset *preset;
    assert_int_equal(preset_find("hw13-sample", 64, &preset, NULL), STATUS_OK);
    char text[1024];
    size_t size = strlen(preset->text);
    assert_true(size < sizeof text);
    struct net_text_options options = {.path = "damaged.net", .channels = 3, .size = 64, .classes = 11};
    for (size_t i = 0; i < size; i++) {
        struct graph graph;
        if (net_text_parse(&graph, preset->text, i, &options, NULL) == STATUS_OK)
            graph_release(&graph);
        memcpy(text, preset->text, size);
        text[i] = (char)(text[i] ^ (1 << (i % 8)));
        if (net_text_parse(&graph, text, size, &options, NULL) == STATUS_OK)
            graph_release(&graph);
    }
}

static void unknown_presets_are_suggested(void **state)
{
    (void)state;
    struct error err = {0};
    const struct preset *preset;
    assert_int_equal(preset_find("dwpv", 224, &preset, &err), STATUS_USAGE);
    assert_non_null(strstr(err.message, "did you mean 'dwpw'?"));
    assert_non_null(strstr(err.message, "hw13-sample"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_sizes),
        cmocka_unit_test(multiplies_of_dwpw),
        cmocka_unit_test(names_are_pytorchs),
        cmocka_unit_test(every_layer),
        cmocka_unit_test(blocks_are_plain_lines),
        cmocka_unit_test(upsampling),
        cmocka_unit_test(reports_what_is_wrong),
        cmocka_unit_test(many_layers_without_names),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(unknown_presets_are_suggested),
    };
    return cmocka_run_group_tests_name("net_text", tests, NULL, NULL);
}
