/* `student_train export`: writes a trained student for use elsewhere: student.safetensors (names of PyTorch's
 * state_dict), student.onnx (dynamic batch), student.py (the same structure as a torch.nn.Module, and what
 * turns a photo into its input), and run.json. All say how a photo is preprocessed and what the classes are called:
 * formats/export/model_card.h. */
#include "formats/onnx/onnx_write.h"
#include "formats/export/student_py.h"
#include "shared/base/files.h"
#include "student_train/commands/command.h"
#include "student_train/commands/student_commands.h"
#include "student_train/run/run_folder.h"
#include <stdio.h>
#include <stdlib.h>

struct export_options {
    const char *run, *out, *weights;
};

/* The ONNX file with the card in its metadata. */
static enum status publish_onnx(const struct graph *graph, const struct model_card *card, const char *out,
                                struct error *err)
{
    enum status status = STATUS_OK;
    cJSON *preprocessing = model_card_preprocessing(card), *classes = model_card_classes(card);
    char *texts[2] = {cJSON_PrintUnformatted(preprocessing), cJSON_PrintUnformatted(classes)};
    uint8_t *bytes = NULL;
    size_t size;
    if (!texts[0] || !texts[1])
        TRY(error_no_memory(err, 0, "an ONNX model"));
    const struct onnx_metadata metadata[] = {{"preprocessing", texts[0]}, {"classes", texts[1]}};
    TRY(onnx_write_described(graph, metadata, 2, &bytes, &size, err));
    TRY(run_publish(out, "student.onnx", bytes, size, err));
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
    TRY(publish_onnx(graph, &info->card, out, err));
    TRY(student_py_write(graph, &info->card, &source, &size, err));
    TRY(run_publish(out, "student.py", source, size, err));
    TRY(run_info_write(info, out, err));
cleanup:
    free(source);
    return status;
}

static enum status run(void *context, struct error *err)
{
    const struct export_options *options = context;
    enum status status = STATUS_OK;
    struct run_info info = {0};
    struct student student = {0};
    TRY(run_info_read(&info, options->run, err));
    TRY(run_student(&info, options->run, options->weights, &student, err));
    TRY(publish_all(&student.graph, &info, options->out, err));
    printf("%s: student.safetensors, student.onnx, student.py, run.json (%zu parameters)\n", options->out,
           graph_parameter_count(&student.graph));
cleanup:
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
    };
    struct options table = {.command = "student_train export",
                            .summary = "writes a trained student as safetensors, ONNX and PyTorch source",
                            .specs = specs,
                            .count = sizeof specs / sizeof *specs};
    return command_run(&table, argc, argv, run, &o, err);
}
