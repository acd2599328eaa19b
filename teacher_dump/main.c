/* teacher_dump: stage one, run the teacher once over every view of every sample. */
#include "shared/base/program.h"
#include "teacher_dump/commands.h"

int main(int argc, char **argv)
{
    static const struct program_command commands[] = {
        {"run", "make a cache: images, views, logits, features", run_command},
        {"import", "make a cache from the answers of a teacher that another program ran", import_command},
        {"inspect", "print what is in a cache or an ONNX file", inspect_command},
        {"verify", "check every byte of a cache", verify_command},
        {"recheck", "run the teacher again on random views and compare", recheck_command},
    };
    static const struct program program = {
        .name = "teacher_dump",
        .summary = "Runs a big image classifier once and stores what students need to learn from it.",
        .commands = commands,
        .count = sizeof commands / sizeof *commands,
    };
    return program_main(&program, argc, argv);
}
