#include "shared/base/program.h"
#include "student_train/commands.h"

int main(int argc, char **argv)
{
    static const struct program_command commands[] = {
        {"fit", "train a student from a cache", command_fit},
        {"eval", "accuracy, confusion and agreement with the teacher", command_eval},
        {"predict", "classify photos, write the Kaggle file", command_predict},
        {"export", "safetensors, ONNX and student.py of a run", command_export},
        {"inspect", "show a student's size and training plan", command_inspect},
    };
    static const struct program program = {"student_train", "Trains tiny students from a cache of a teacher's answers.",
                                           commands, sizeof commands / sizeof *commands};
    return program_main(&program, argc, argv);
}
