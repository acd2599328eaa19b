/* `student_train export`: writes a trained student for use elsewhere: student.safetensors (names of PyTorch's
 * state_dict), student.onnx (dynamic batch), student.py (the same structure as a torch.nn.Module, and what
 * turns a photo into its input), and run.json; with --int8 student-int8.onnx, with --c student.c and student.h, with
 * --html student.html. All say how a photo is preprocessed and what the classes are called:
 * formats/export/model_card.h. */
#include "formats/onnx/onnx_write.h"
#include "formats/export/student_c.h"
#include "formats/export/student_html.h"
#include "formats/export/student_py.h"
#include "shared/base/files.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/quantise/quantised_student.h"
#include "student_train/run/finished_run.h"
#include "student_train/trainer/compute.h"
#include <stdio.h>
#include <stdlib.h>

struct export_options {
    const char *run, *out, *weights, *cache, *data;
    bool int8, c, html, quiet, json;
    int calibrate, threads;
    cJSON *result; /* of --json; NULL: text is printed */
};

/* The ONNX file with the card in its metadata: of the graph, or of its integers (NULL: none). */
static enum status publish_onnx(const struct graph *graph, const struct int8_net *int8, const struct model_card *card,
                                const char *out, struct error *err)
{
    enum status status = STATUS_OK;
    cJSON *preprocessing = model_card_preprocessing(card), *classes = model_card_classes(card);
    char *texts[2] = {cJSON_PrintUnformatted(preprocessing), cJSON_PrintUnformatted(classes)};
    uint8_t *bytes = NULL;
    size_t size;
    if (!texts[0] || !texts[1])
        FAIL(error_no_memory(err, 0, "an ONNX model"));
    const struct onnx_metadata metadata[] = {{"preprocessing", texts[0]}, {"classes", texts[1]}};
    if (int8)
        TRY(onnx_write_int8(int8, metadata, 2, &bytes, &size, err));
    else
        TRY(onnx_write_described(graph, metadata, 2, &bytes, &size, err));
    TRY(run_publish(out, int8 ? "student-int8.onnx" : "student.onnx", bytes, size, err));
cleanup:
    free(bytes);
    for (int i = 0; i < 2; i++)
        cJSON_free(texts[i]);
    cJSON_Delete(preprocessing);
    cJSON_Delete(classes);
    return status;
}

static enum status publish_all(const struct graph *graph, const struct run_info *info, const char *out,
                               struct error *err)
{
    enum status status = STATUS_OK;
    char *source = NULL;
    size_t size;
    TRY(folder_make(out, err));
    TRY(run_publish_weights(graph, out, "student.safetensors", err));
    TRY(publish_onnx(graph, NULL, &info->card, out, err));
    TRY(student_py_write(graph, &info->card, &source, &size, err));
    TRY(run_publish(out, "student.py", source, size, err));
    TRY(run_info_write(info, out, err));
cleanup:
    free(source);
    return status;
}

static enum status publish_c(const struct student_c *student, const struct export_options *options, struct error *err)
{
    const char *out = options->out;
    enum status status = STATUS_OK;
    struct student_c_files files = {0};
    TRY(student_c_write(student, &files, err));
    TRY(run_publish(out, "student.c", files.source, files.source_size, err));
    TRY(run_publish(out, "student.h", files.header, files.header_size, err));
    if (options->result) {
        cJSON *c = cJSON_AddObjectToObject(options->result, "c");
        cJSON_AddStringToObject(c, "type", student->int8 ? "int8" : "float");
        cJSON_AddNumberToObject(c, "ram_bytes", (double)files.arena);
        cJSON_AddNumberToObject(c, "constant_bytes", (double)files.tables);
    } else {
        printf("%s: student.c, student.h (%s: %zu bytes of RAM, %zu bytes of constants)\n", out,
               student->int8 ? "int8" : "float", files.arena, files.tables);
    }
cleanup:
    student_c_files_free(&files);
    return status;
}

static enum status publish_html(const struct int8_net *net, const struct model_card *card,
                                const struct export_options *options, struct error *err)
{
    const char *out = options->out;
    enum status status = STATUS_OK;
    char *text = NULL;
    size_t size;
    TRY(student_html_write(net, card, &text, &size, err));
    TRY(run_publish(out, "student.html", text, size, err));
    if (!options->result)
        printf("%s: student.html (%zu bytes)\n", out, size);
cleanup:
    free(text);
    return status;
}

/* Quantises with the pictures of the run's cache, and writes student-int8.onnx. */
static enum status export_int8(const struct export_options *options, const struct run_info *info,
                               const struct student *student, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache cache = {0};
    struct thread_pool *pool = NULL;
    struct graph trained = {0};
    struct quantised_student quantised = {0};
    const struct quantised_options how = {.views = (uint32_t)options->calibrate, .trained = &trained};
    struct progress progress;
    progress_init(&progress, stderr, options->quiet);
    TRY(cache_open(&cache, options->cache ? options->cache : info->cache, err));
    TRY(cache_set_data(&cache, options->data, err));
    TRY(finished_run_fits(info, &cache, err));
    TRY(thread_pool_new(&pool, options->threads, err));
    TRY(run_training_graph(student, options->run, options->weights, &trained, err));
    TRY(quantised_student_init(&quantised, &student->graph, &info->card, &cache, &how, pool, &progress, err));
    TRY(publish_onnx(NULL, &quantised.net, &info->card, options->out, err));
    if (options->c)
        TRY(publish_c(&(struct student_c){&quantised.lowered, &quantised.net, &info->card, quantised.example}, options,
                      err));
    if (options->html)
        TRY(publish_html(&quantised.net, &info->card, options, err));
    if (options->result)
        quantised_student_json(&quantised, cJSON_AddObjectToObject(options->result, "int8"));
    else
        quantised_student_print(&quantised, stdout);
cleanup:
    quantised_student_release(&quantised);
    graph_release(&trained);
    thread_pool_free(pool);
    cache_release(&cache);
    return status;
}

/* student.c in float needs no cache: its test picture is a pattern. */
static enum status export_float_c(const struct export_options *options, const struct run_info *info,
                                  const struct graph *graph, struct error *err)
{
    enum status status = STATUS_OK;
    struct lowered lowered = {0};
    uint8_t *example = NULL;
    TRY(lowered_init(&lowered, graph, err));
    const size_t count = lowered.values[lowered.input].count;
    example = malloc(count);
    if (!example)
        FAIL(error_no_memory(err, count, "student.c"));
    for (size_t i = 0; i < count; i++)
        example[i] = (uint8_t)(i * 37 + i * i / 11);
    TRY(publish_c(&(struct student_c){&lowered, NULL, &info->card, example}, options, err));
cleanup:
    free(example);
    lowered_release(&lowered);
    return status;
}

/* Prints and frees options->result, which has what --int8 and --c found. */
static enum status print_json(struct export_options *options, const struct graph *graph, struct error *err)
{
    static const char *const always[] = {"student.safetensors", "student.onnx", "student.py", "run.json"};
    cJSON *root = options->result, *files = cJSON_AddArrayToObject(root, "files");
    options->result = NULL;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        json_append(files, cJSON_CreateString(always[i]));
    if (options->int8)
        json_append(files, cJSON_CreateString("student-int8.onnx"));
    if (options->c) {
        json_append(files, cJSON_CreateString("student.c"));
        json_append(files, cJSON_CreateString("student.h"));
    }
    if (options->html)
        json_append(files, cJSON_CreateString("student.html"));
    cJSON_AddStringToObject(root, "out", options->out);
    cJSON_AddNumberToObject(root, "parameters", (double)graph_parameter_count(graph));
    return command_print_json(root, "the result", err);
}

static enum status run(void *context, struct error *err)
{
    struct export_options *options = context;
    enum status status = STATUS_OK;
    struct run_info info = {0};
    struct student student = {0};
    if (options->html && !options->int8)
        return error_set(err, STATUS_USAGE, NULL, "--html writes the student in integers: give --int8, too");
    if (options->json && !(options->result = cJSON_CreateObject()))
        return error_no_memory(err, sizeof *options->result, "the result");
    TRY(run_info_read(&info, options->run, err));
    TRY(run_student(&info, options->run, options->weights, &student, err));
    TRY(publish_all(&student.graph, &info, options->out, err));
    if (options->int8)
        TRY(export_int8(options, &info, &student, err));
    else if (options->c)
        TRY(export_float_c(options, &info, &student.graph, err));
    if (options->result) {
        TRY(print_json(options, &student.graph, err));
        goto cleanup;
    }
    printf("%s: student.safetensors, student.onnx, student.py, run.json%s (%zu parameters)\n", options->out,
           options->int8 ? ", student-int8.onnx" : "", graph_parameter_count(&student.graph));
cleanup:
    cJSON_Delete(options->result);
    student_release(&student);
    run_info_release(&info);
    return status;
}

enum status export_command(int argc, char **argv, struct error *err)
{
    struct export_options o = {0};
    const struct option_spec specs[] = {
        {"run", OPTION_STRING, &o.run, "RUN", NULL, "the run's folder", .required = true},
        {"out", OPTION_STRING, &o.out, "DIR", NULL, "folder for the exported files", .required = true},
        {"weights", OPTION_STRING, &o.weights, "best|last|FILE", "best", "which weights"},
        {"int8", OPTION_FLAG, &o.int8, NULL, NULL, "also in 8-bit integers: student-int8.onnx, from the run's cache"},
        {"c", OPTION_FLAG, &o.c, NULL, NULL,
         "also as C99 for microcontrollers: student.c and student.h, in float, or with --int8 in integers"},
        {"html", OPTION_FLAG, &o.html, NULL, NULL,
         "with --int8 also as a web page that works alone: student.html takes a photo and shows its classes"},
        {"calibrate", OPTION_INT, &o.calibrate, "N", "256", "int8: training views that set the ranges of values",
         .minimum = 1, .maximum = 65536},
        {"cache", OPTION_STRING, &o.cache, "CACHE", NULL, "int8: a cache other than the one the run was trained on"},
        {"data", OPTION_STRING, &o.data, "DIR", NULL,
         "int8: where the photos of a cache with linked images are now, if they have moved"},
        {"threads", OPTION_INT, &o.threads, "N", "0", "int8: CPU threads; 0: one per processor", .minimum = 0,
         .maximum = 1024},
        {"quiet", OPTION_FLAG, &o.quiet, NULL, NULL, "no progress"},
        {"json", OPTION_FLAG, &o.json, NULL, NULL, "print the result as JSON"},
    };
    struct options table = {
        .command = "student_train export",
        .summary =
            "writes a trained student as safetensors, ONNX, PyTorch source, C and a web page, also in 8-bit integers",
        .specs = specs,
        .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
