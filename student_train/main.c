#include "shared/base/program.h"
#include "student_train/commands/student_commands.h"

int main(int argc, char **argv)
{
    static const struct program_command commands[] = {
        {"fit", "train a student from a cache", fit_command},
        {"sweep", "train a student for every cell of a grid, several at once on a GPU", sweep_command},
        {"search", "find a net within a budget of parameters: many short runs, the best go on", search_command},
        {"eval", "measure accuracy, confusion and agreement with the teacher", eval_command},
        {"predict", "classify photos and write a file of predictions", predict_command},
        {"export", "write a trained student as safetensors, ONNX and PyTorch source", export_command},
        {"compare", "print a table of finished runs beside their teacher", compare_command},
        {"inspect", "show a student's size and training plan", inspect_student_command},
        {"losses", "list the terms of --loss: formulas, parameters, usual weights", losses_command},
    };
    static const struct program program = {"student_train", "Trains tiny students from a cache of a teacher's answers.",
                                           commands, sizeof commands / sizeof *commands};
    return program_main(&program, argc, argv);
}
