#define _GNU_SOURCE
#include "tests/helper_program.h"

#include "formats/net/net_text.h"
#include "formats/onnx/onnx_write.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

char *folder;
char program[4096], dumper[4096];
char output[65536];

int shell(const char *format, ...)
{
    char command[8192], line[16384];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(line, sizeof line, "cd '%s' && { %s ; } >output 2>&1 </dev/null", folder, command);
    int code = system(line);
    char *path = path_join(folder, "output");
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(output, 1, sizeof output - 1, file) : 0;
    output[size] = 0;
    if (file)
        fclose(file);
    free(path);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

void expect(int code, const char *text, int got)
{
    if (got != code || !strstr(output, text))
        fail_msg("exit code %d, expected %d; output without '%s': %s", got, code, text, output);
}

cJSON *json_of(const char *name)
{
    char path[4200];
    unsigned char *text;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_read(path, 1 << 24, &text, &size, NULL), STATUS_OK);
    cJSON *tree = cJSON_ParseWithLength((char *)text, size);
    free(text);
    if (!tree)
        fail_msg("%s is no JSON", path);
    return tree;
}

void same_file(const char *a, const char *b, const char *name)
{
    char paths[2][4200], digests[2][DIGEST_HEX_SIZE];
    snprintf(paths[0], sizeof paths[0], "%s/%s/%s", folder, a, name);
    snprintf(paths[1], sizeof paths[1], "%s/%s/%s", folder, b, name);
    for (int i = 0; i < 2; i++)
        assert_int_equal(digest_file(paths[i], digests[i], NULL, NULL), STATUS_OK);
    if (strcmp(digests[0], digests[1]) != 0)
        fail_msg("%s differs between %s and %s", name, a, b);
}

void same_run(const char *a, const char *b)
{
    same_file(a, b, "best.safetensors");
    same_file(a, b, "last.safetensors");
    same_file(a, b, "summary.csv");
}

static void write_teacher(void)
{
    static const char text[] = "conv stem 8 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n";
    struct net_text_options options = {.path = "teacher", .channels = 3, .size = 32, .classes = 3};
    struct graph graph;
    uint8_t *bytes;
    size_t size;
    assert_int_equal(net_text_parse(&graph, text, sizeof text - 1, &options, NULL), STATUS_OK);
    graph_initialise(&graph, 5);
    assert_int_equal(onnx_write(&graph, &bytes, &size, NULL), STATUS_OK);
    write_file(folder, "teacher.onnx", bytes, size);
    free(bytes);
    graph_release(&graph);
}

int program_setup(void **state)
{
    (void)state;
    char cwd[2048];
    const char *build = getenv("BUILD") ? getenv("BUILD") : "build";
    if (!getcwd(cwd, sizeof cwd))
        return -1;
    snprintf(program, sizeof program, "%s%s%s/student_train", build[0] == '/' ? "" : cwd, build[0] == '/' ? "" : "/",
             build);
    snprintf(dumper, sizeof dumper, "%.*steacher_dump", (int)(strlen(program) - strlen("student_train")), program);
    folder = temporary_folder();
    char *photos = path_join(folder, "photos");
    write_image_folder(photos, "train", 3, 24, 44, 40);
    write_image_folder(photos, "val", 3, 8, 40, 44);
    free(photos);
    write_teacher();
    static const char net[] = "conv stem 8 3x3 /2 pad 1 nobias\nbn\nrelu\ndwpw block1 12 /2\ngap\ndropout 0.1\nfc fc "
                              "classes\n";
    write_file(folder, "tiny.net", net, sizeof net - 1);
    int code = shell("%s run --data photos --teacher teacher.onnx --out cache --size 32 --base 36 --views 3 "
                     "--augment light --quiet",
                     dumper);
    if (code != 0)
        fprintf(stderr, "teacher_dump: %s\n", output);
    return code;
}

int program_teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    free(folder);
    return 0;
}
