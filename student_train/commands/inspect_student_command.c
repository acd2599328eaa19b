/* `student_train inspect`: shows a student: its parameters, its arithmetic, and the plan that trains it. */
#include "shared/graph/plan.h"
#include "shared/quantise/lowered.h"
#include "formats/json.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/student/student.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inspect_options {
    const char *student;
    int channels, size, classes, batch;
    bool device_limits, json;
};

/* GPUs by the data sheets of their maker: bytes/s of memory; operations/s in fp32, and of the tensor cores with 16-bit
 * values that are summed up in fp32 (bf16; fp16 on the T4, which has no bf16). */
static const struct {
    const char *name;
    double memory, fp32, tensor;
} gpus[] = {
    {"H100 SXM", 3.35e12, 67e12, 989e12},
    {"RTX 4090", 1.008e12, 82.6e12, 165e12},
    {"RTX 3060", 0.36e12, 12.7e12, 25.5e12},
    {"T4", 0.32e12, 8.1e12, 65e12},
};

/* The time in which a step's tensors are moved, or its operations computed, at the GPU's rate: whichever is longer. */
static void print_time(double bytes, double operations, double memory, double rate, int batch)
{
    const double move = bytes / memory, compute = operations / rate;
    const double time = move > compute ? move : compute;
    printf("  %8.3f ms %9.0f images/s (%s)", 1e3 * time, batch / time, move > compute ? "memory" : "arithmetic");
}

/* What a kernel of a replayed CUDA graph costs beside its work: a guess, the same for every GPU. */
static const double launch_seconds = 2e-6;

static void print_launches(const struct plan *plan)
{
    const struct plan_launches launches = plan_launches_of(plan);
    const int all = launches.forward + launches.backward + PLAN_OTHER_LAUNCHES;
    printf(
        "\nIt makes %d launches: %d forward, %d backward, about %d for views, losses and optimiser. If each costs %.0f "
        "us beside its work (a guess), that is %.3f ms more, for all students side by side together.\n",
        all, launches.forward, launches.backward, PLAN_OTHER_LAUNCHES, 1e6 * launch_seconds,
        1e3 * launch_seconds * all);
}

static void print_limits(const struct plan *plan)
{
    const struct plan_cost cost = plan_cost_of(plan);
    const double values = cost.values * plan->batch, operations = cost.operations * plan->batch;
    printf(
        "\nA training step of %d images by this plan moves %.0f MB of activations in fp32, %.0f MB in bf16, and "
        "computes %.1f billion operations.\nAt a GPU's full memory or arithmetic rate that takes\n\n%-10s  %-39s  %s\n",
        plan->batch, 1e-6 * 4 * values, 1e-6 * 2 * values, 1e-9 * operations, "", "fp32", "bf16 (T4: fp16)");
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        printf("%-10s", gpus[i].name);
        print_time(4 * values, operations, gpus[i].memory, gpus[i].fp32, plan->batch);
        print_time(2 * values, operations, gpus[i].memory, gpus[i].tensor, plan->batch);
        printf("\n");
    }
    print_launches(plan);
}

static enum status print_json(const struct inspect_options *options, const struct graph *graph, const struct plan *plan,
                              struct error *err)
{
    const struct shape in = graph->nodes[graph->input].shape;
    const int shape[3] = {in.c, in.h, in.w};
    const struct plan_cost cost = plan_cost_of(plan);
    const struct plan_launches launches = plan_launches_of(plan);
    struct error unknown = {0};
    size_t int8_bytes;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "student", options->student);
    json_add(root, "input", cJSON_CreateIntArray(shape, 3));
    cJSON_AddNumberToObject(root, "classes", graph->nodes[graph->output].shape.c);
    cJSON_AddNumberToObject(root, "parameters", (double)graph_parameter_count(graph));
    cJSON_AddNumberToObject(root, "multiply_accumulates", (double)graph_multiply_count(graph));
    cJSON_AddNumberToObject(root, "activation_bytes", (double)plan_peak_bytes(plan));
    if (lowered_int8_bytes(graph, &int8_bytes, &unknown) == STATUS_OK)
        cJSON_AddNumberToObject(root, "int8_activation_bytes", (double)int8_bytes);
    cJSON *step = cJSON_AddObjectToObject(root, "training_step");
    cJSON_AddNumberToObject(step, "batch", plan->batch);
    cJSON_AddNumberToObject(step, "values_moved", cost.values * plan->batch);
    cJSON_AddNumberToObject(step, "operations", cost.operations * plan->batch);
    cJSON_AddNumberToObject(step, "launches", launches.forward + launches.backward + PLAN_OTHER_LAUNCHES);
    return command_print_json(root, "the student", err);
}

static enum status run(void *context, struct error *err)
{
    const struct inspect_options *options = context;
    enum status status = STATUS_OK;
    struct student student = {0};
    struct plan plan = {0};
    struct error unknown = {0};
    size_t int8_bytes;
    char *text = NULL;
    const size_t length = strlen(options->student);
    struct student_input input = {options->channels, options->size, options->classes};
    if (length < 5 || strcmp(options->student + length - 5, ".onnx") != 0) {
        input.channels = input.channels ? input.channels : 3;
        input.size = input.size ? input.size : 224;
        input.classes = input.classes ? input.classes : 11;
    }
    TRY(student_open(&student, options->student, &input, err));
    TRY(plan_compile(&plan, &student.graph, &(struct plan_options){.batch = options->batch}, err));
    if (options->json) {
        TRY(print_json(options, &student.graph, &plan, err));
        goto cleanup;
    }
    text = plan_describe(&plan);
    if (!text)
        FAIL(error_no_memory(err, 0, "the plan's description"));
    const struct graph *graph = &student.graph;
    const struct shape in = graph->nodes[graph->input].shape;
    printf("%s: input %dx%dx%d, %d classes\n%zu parameters, %.1f million multiply-accumulates per image, at most %zu "
           "bytes of activations at once\n\n%s",
           options->student, in.c, in.h, in.w, graph->nodes[graph->output].shape.c, graph_parameter_count(graph),
           (double)graph_multiply_count(graph) / 1e6, plan_peak_bytes(&plan), text);
    if (lowered_int8_bytes(graph, &int8_bytes, &unknown) == STATUS_OK)
        printf("student.c in 8-bit integers: %zu bytes of RAM for the activations of an image\n", int8_bytes);
    if (options->device_limits)
        print_limits(&plan);
cleanup:
    free(text);
    plan_release(&plan);
    student_release(&student);
    return status;
}

enum status inspect_student_command(int argc, char **argv, struct error *err)
{
    struct inspect_options o = {0};
    const struct option_spec specs[] = {
        {"student", OPTION_STRING, &o.student, "PRESET|FILE.net|FILE.onnx", NULL, "the network", .required = true},
        {"channels", OPTION_INT, &o.channels, "N", "0",
         "channels of the images; 0: those of the ONNX file, otherwise 3", .maximum = 3},
        {"size", OPTION_INT, &o.size, "N", "0", "side of the images; 0: that of the ONNX file, otherwise 224",
         .maximum = 4096},
        {"classes", OPTION_INT, &o.classes, "N", "0", "number of classes; 0: those of the ONNX file, otherwise 11",
         .maximum = 65536},
        {"batch", OPTION_INT, &o.batch, "N", "128", "images per step", .minimum = 1, .maximum = 65536},
        {"device-limits", OPTION_FLAG, &o.device_limits, NULL, NULL,
         "what a training step moves, computes and launches, and the time of that at the full rates of some GPUs"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print JSON, without the plan"},
    };
    struct options table = {.command = "student_train inspect",
                            .summary = "shows a student: parameters, arithmetic, training plan",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
