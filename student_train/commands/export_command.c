/* `student_train export`: writes a trained student for use elsewhere: student.safetensors (names of PyTorch's
 * state_dict), student.onnx (dynamic batch), student.py (the same structure as a torch.nn.Module), and run.json
 * (classes and preprocessing). */
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

static enum status publish_all(const struct graph *graph, const struct run_info *info, const char *out,
                               struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *onnx = NULL;
    char *source = NULL;
    size_t onnx_size, source_size;
    TRY(folder_make(out, err));
    TRY(run_publish_weights(graph, out, "student.safetensors", err));
    TRY(onnx_write(graph, &onnx, &onnx_size, err));
    TRY(run_publish(out, "student.onnx", onnx, onnx_size, err));
    TRY(student_py_write(graph, &source, &source_size, err));
    TRY(run_publish(out, "student.py", source, source_size, err));
    TRY(run_info_write(info, out, err));
cleanup:
    free(onnx);
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
