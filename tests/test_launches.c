/* The launches of a training step that `student_train inspect` prints are those that the CUDA backend makes: counted on
 * the execution shim, in a capture, so that nothing is computed. */
#include "formats/net/net_text.h"
#include "shared/quantise/training_graph.h"
#include "shared/training/network.h"
#include "student_train/student/preset.h"
#include "tests/helper_device.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void parse(struct graph *graph, const char *name, const char *text, int size)
{
    struct error err = {0};
    const struct net_text_options options = {name, 3, size, 11};
    test_must(net_text_parse(graph, text, strlen(text), &options, &err), &err);
}

static void compare(const struct test_device *t, struct graph *graph, const char *name, enum dtype dtype, int batch)
{
    struct error err = {0};
    struct network network = {0};
    struct graph_capture *capture;
    const struct epoch_inputs inputs = {0};
    const struct pass pass = {.count = batch, .training = true, .inputs = &inputs};
    const struct plan_options options = {.batch = batch, .dtype = dtype};
    const struct capture_ops *ops = t->backend->device->capture;
    test_must(network_init(&network, t->backend->training, t->device, graph, &options, 2, &err), &err);
    const struct plan_launches launches = plan_launches_of(&network.plan);
    test_must(ops->begin(t->device, &err), &err);
    const size_t before = test_device_launches();
    test_must(network_forward(&network, &pass, &err), &err);
    const size_t between = test_device_launches();
    test_must(network_backward(&network, &pass, &err), &err);
    const size_t after = test_device_launches();
    test_must(ops->end(t->device, &capture, &err), &err);
    ops->destroy(t->device, capture);
    if (between - before != (size_t)launches.forward || after - between != (size_t)launches.backward)
        fail_msg("%s, %s, batch %d: %d launches forward and %d backward by the plan, %zu and %zu made", name,
                 dtype_name(dtype), batch, launches.forward, launches.backward, between - before, after - between);
    network_release(&network);
}

static void compare_all(const struct test_device *t, const char *name, const char *text, int size)
{
    struct graph graph;
    parse(&graph, name, text, size);
    compare(t, &graph, name, DTYPE_FP32, 2);
    compare(t, &graph, name, DTYPE_BF16, 3);
    graph_release(&graph);
}

static void presets_are_counted(void **state)
{
    struct test_device t = test_device_open(*state, 1);
    for (int i = 0; i < preset_count; i++)
        compare_all(&t, presets[i].name, presets[i].text, 224);
    test_device_close(&t);
}

/* What no preset has. */
static void rare_steps_are_counted(void **state)
{
    static const char *const nets[] = {
        "conv a 8 3x3 pad 1\nprelu p 1\nconv b 8 3x3 pad 1 groups 8\nprelu q\nscale s\ngap\nfc c classes\n",
        "conv a 8 3x3 pad 1\nconv b 8 5x5 pad 2 groups 8\nbn\nrelu\nconv c 8 1x1\ngap\nfc d classes\n",
        "conv a 8 3x3 pad 1\nshuffle 2\nbn\nrelu\nlayernorm\ngroupnorm 2\nmaxpool 2\nflatten\nfc d classes\n",
    };
    struct test_device t = test_device_open(*state, 1);
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        compare_all(&t, nets[i], nets[i], 16);
    test_device_close(&t);
}

/* Values and weights in 8 bits. */
static void quantised_training_is_counted(void **state)
{
    struct error err = {0};
    const struct preset *preset;
    struct graph graph, quantised;
    struct test_device t = test_device_open(*state, 1);
    test_must(preset_find("dwpw", 32, &preset, &err), &err);
    parse(&graph, preset->name, preset->text, 32);
    test_must(training_graph(&graph, &quantised, &err), &err);
    compare(&t, &quantised, preset->name, DTYPE_FP32, 4);
    graph_release(&quantised);
    graph_release(&graph);
    test_device_close(&t);
}

/* The number that the documentation names. */
static void a_large_step_is_counted(void **state)
{
    struct error err = {0};
    const struct preset *preset;
    struct graph graph;
    struct plan plan;
    (void)state;
    test_must(preset_find("dwpw", 224, &preset, &err), &err);
    parse(&graph, preset->name, preset->text, 224);
    test_must(plan_compile(&plan, &graph, &(struct plan_options){.batch = 128}, &err), &err);
    const struct plan_launches launches = plan_launches_of(&plan);
    assert_int_equal(launches.forward, 20);
    assert_int_equal(launches.backward, 26);
    plan_release(&plan);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"presets_are_counted", presets_are_counted, NULL, NULL, "cuda"},
        {"rare_steps_are_counted", rare_steps_are_counted, NULL, NULL, "cuda"},
        {"quantised_training_is_counted", quantised_training_is_counted, NULL, NULL, "cuda"},
        cmocka_unit_test(a_large_step_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
