/* .net files with one thing changed: each word in turn is another one, is left out or is there twice, and so is each
 * line. They are read, as a graph that can be written and used, or refused with a message that names the line. */
#include "formats/net/net_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const nets[] = {
    "input 3 32 32\nconv stem 8 3x3 /2 pad 1 nobias groups 1 dilation 1\nbn eps 0.001 momentum 0.1 as n\nrelu\n"
    "dwpw a 12 0.1 /2 pad 1 bias\nmaxpool 2x2 /2 pad 0 ceil as p\navgpool 2\ngap\ndropout 0.1\nfc fc classes nobias\n",
    "conv stem 8 3 /2 pad 1\nhardswish\nresidual a 8 5x5 se 4 silu\ninverted b 12 24 3x3 /2 relu6 noskip bias "
    "eps 0.01\nchannels 0 8\nshuffle 2\ngroupnorm 2 eps 0.1\nscale s 0.5\ngelu\nconv c 8 1x1\nsigmoid as g\nmul s\n"
    "concat c g as j\nlayernorm\nleaky_relu 0.1\nse q 4 hard\nupsample 2 linear as u\nprelu r 1\nelu 0.5\nflatten\nfc "
    "d 8\n"
    "tanh\nfc e classes\n",
    "conv a_bn 4 1\nconv a_bn0 4 1\nconv a_bn01 4 1\nconv a_bn2 4 1\nconv a_bn2x 4 1\nconv a_bn999999999 4 1\nconv "
    "a_bn999999 4 1"
    "\nconv a 4 32x1\nbn\nbn\nupsample 2\nfc c classes\n",
    "conv a 8 3x3\nprelu a_act\nconv b 8 1x1\nadd a_act b as sum\nfrom a\ncelu\nconv d 8 1x1\nadd sum as both\ngap\n"
    "fc c classes\n",
};
static const char *const words[] = {
    "3000",
    "classes\n#",
    "0",
    "-1",
    "1",
    "2",
    "3x3",
    "3x0",
    "3x",
    "x3",
    "1048577",
    "99999999999999999999",
    "0.5",
    "nan",
    "1e39",
    "1e-9",
    "0.5x",
    "x",
    "_",
    "a/b",
    "a",
    "2a",
    "/2",
    "/0",
    "/2x",
    "as",
    "as b",
    "pad 1",
    "gap",
    "input",
    "flaten",
    "classes",
    "\x01",
    "caf\xc3\xa9",
    "silu",
    "a b c d e f g h i j k l m n o p q r s t u v",
    "a_name_that_is_longer_than_any_name_of_a_layer_may_be_since_names_have_their_limits"};
enum { WORDS = sizeof words / sizeof *words, REMOVED = WORDS, TWICE, VARIANTS };

static int made, read_well, wrong;

static void try_text(const char *text, size_t size)
{
    const struct net_text_options options = {.path = "variant", .channels = 3, .size = 32, .classes = 5};
    struct error err = {0};
    struct graph graph;
    const enum status status = net_text_parse(&graph, text, size, &options, &err);
    made++;
    if (status == STATUS_OK) {
        const struct shape out = graph.nodes[graph.output].shape;
        read_well++;
        wrong += out.c != 5 || out.h != 1 || out.w != 1;
    } else if ((status != STATUS_BAD_DATA && status != STATUS_CONFIG) || strcmp(err.path, "variant") != 0 ||
               strlen(err.message) < 6) {
        if (wrong++ < 5)
            print_message("status %d: %s: %s, of:\n%.*s\n", status, err.path, err.message, (int)size, text);
    }
    graph_release(&graph);
}

/* text[from, to) is what is changed. */
static void try_change(const char *text, size_t from, size_t to, int variant, const char *glue)
{
    char *changed = malloc(2 * strlen(text) + 200);
    const char *piece = variant < WORDS ? words[variant] : "";
    const int length = (int)(to - from);
    int size;
    if (variant == TWICE)
        size = sprintf(changed, "%.*s%s%s", (int)to, text, glue, text + from);
    else
        size = sprintf(changed, "%.*s%s%s", (int)from, text, piece, text + to);
    assert_true(length > 0);
    try_text(changed, (size_t)size);
    free(changed);
}

static void one_word_is_another(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof nets / sizeof *nets; n++) {
        const char *text = nets[n];
        try_text(text, strlen(text));
        assert_int_equal(read_well, made); /* the net itself */
        for (size_t at = 0; text[at]; at += strspn(text + at, " \n")) {
            const size_t end = at + strcspn(text + at, " \n");
            for (int variant = 0; variant < VARIANTS; variant++)
                try_change(text, at, end, variant, " ");
            at = end;
        }
        for (size_t at = 0; text[at];) {
            const size_t end = at + strcspn(text + at, "\n") + 1;
            try_change(text, at, end, REMOVED, "");
            try_change(text, at, end, TWICE, "");
            at = end;
        }
        print_message("%d variants, %d of them read\n", made, read_well);
        assert_int_equal(wrong, 0);
        assert_true(made > 500 && read_well < made / 2);
        made = read_well = 0;
    }
}

/* Each kind of layer as the first one: what reads another value finds none, what needs a map has the image. */
static void each_layer_comes_first(void **state)
{
    (void)state;
    for (int i = 0; i < net_layer_count; i++) {
        char text[256];
        const char *name = net_layers[i].name;
        static const char *const rests[] = {"",    "a",   "a 3",   "a 3 3",   "a 3 3 3", "1",    "2 2",
                                            "a 1", "a 2", "3 3 3", "3 32 32", "0 3",     "a a a"};
        for (size_t k = 0; k < sizeof rests / sizeof *rests; k++)
            try_text(text, (size_t)snprintf(text, sizeof text, "%s %s\ngap\nfc c classes\n", name, rests[k]));
    }
    assert_int_equal(wrong, 0);
    assert_true(read_well > 20);
}

static void assert_refused(const char *text, size_t size, const char *message)
{
    const struct net_text_options options = {.path = "long", .channels = 3, .size = 8, .classes = 5};
    struct error err = {0};
    struct graph graph;
    assert_int_equal(net_text_parse(&graph, text, size, &options, &err), STATUS_BAD_DATA);
    if (!strstr(err.message, message))
        fail_msg("\"%s\", wanted \"%s\"", err.message, message);
}

/* What a file may have at most. */
static void limits(void **state)
{
    (void)state;
    char *text = malloc(NET_TEXT_LIMIT + 2);
    size_t size = 0;
    memset(text, '\n', NET_TEXT_LIMIT + 1);
    assert_refused(text, NET_TEXT_LIMIT + 1, "a .net file may have at most");
    assert_refused(text, NET_TEXT_LIMIT, "has no layers");
    memset(text, 'a', 9000);
    assert_refused(text, NET_TEXT_LIMIT, "the line has 9000 characters");
    for (int i = 0; i <= NET_TEXT_MAX_LAYERS; i++)
        size += (size_t)sprintf(text + size, "relu\n");
    assert_refused(text, size, "line 2001: more than 2000 layers");
    size = (size_t)sprintf(text, "relu as a\nadd");
    for (int i = 0; i <= NET_LINE_MAX_NAMES; i++)
        size += (size_t)sprintf(text + size, " a");
    assert_refused(text, size, "line 2: more than");
    for (int i = 0; i < 100; i++)
        size += (size_t)sprintf(text + size, " a");
    assert_refused(text, size, "line 2: more than");
    static const char *const outputs[] = {"conv a classes 1", "conv a classes 32x1", "conv a classes 1x32",
                                          "conv a 4 32x1\nupsample 3000"};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        try_text(outputs[i], strlen(outputs[i]));
    assert_int_equal(wrong, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_word_is_another), cmocka_unit_test(each_layer_comes_first),
                                       cmocka_unit_test(limits)};
    return cmocka_run_group_tests_name("net_variants", tests, NULL, NULL);
}
