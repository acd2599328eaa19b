/* Runs and sweeps: files that are not theirs stay as they are, and damage of their own files is found. */
#define _GNU_SOURCE
#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include "student_train/run/run_folder.h"
#include "student_train/run/run_metrics.h"
#include "tests/helper_images.h"
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIT "%s fit --cache cache --student tiny.net --batch 16 --loss kd --epochs 1 --quiet "
#define SWEEP "%s sweep --cache cache --student tiny.net --batch 16 --loss kd --epochs 1 --quiet --grid lr=0.1,0.2 "

static void foreign_files_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"summary.csv", "best.safetensors", "config.ini", "metrics.json",
                                        "run.json",    "checkpoint",       "log.jsonl",  "report.html",
                                        "student.net", "notes.txt",        "sweep.ini",  "checkpoint.1.tmp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        static const char *const flags[] = {"", "--resume", "--overwrite"};
        shell("rm -rf theirs; mkdir theirs; echo precious >theirs/%s", names[i]);
        for (int f = 0; f < 3; f++) {
            expect(73, names[i], shell(FIT "--out theirs %s", program, flags[f]));
            expect(73, names[i], shell(SWEEP "--out theirs %s", program, flags[f]));
        }
        expect(0, "precious", shell("cat theirs/%s && [ $(ls -A theirs | wc -l) = 1 ]", names[i]));
    }
    shell("rm -rf theirs; mkdir theirs; echo precious >theirs/.lock"); /* another program's lock */
    expect(73, "another program's", shell(FIT "--out theirs", program));
    expect(0, "precious", shell("cat theirs/.lock && [ $(ls -A theirs | wc -l) = 1 ]"));
}

static void an_empty_folder_is_fine(void **state)
{
    (void)state;
    expect(0, "", shell("mkdir empty && " FIT "--out empty", program));
    expect(73, "already holds a run", shell(FIT "--out empty", program));
    expect(0, "", shell(FIT "--out empty --overwrite", program));
    expect(73, "not of a sweep", shell(SWEEP "--out empty --overwrite", program)); /* a run is no sweep */
}

/* A run whose checkpoint was removed to save space is still there. */
static void a_finished_run_is_not_replaced(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--out finished && rm finished/checkpoint && cp -r finished kept", program));
    expect(73, "already holds a finished run", shell(FIT "--out finished", program));
    expect(73, "already holds a finished run", shell(FIT "--out finished --resume", program));
    same_run("finished", "kept");
    expect(0, "", shell(FIT "--out finished --overwrite", program));
}

static void links_are_not_followed(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--out run && mkdir victim && echo precious >victim/x", program));
    shell("rm run/summary.csv run/best.safetensors; ln -s ../victim/x run/summary.csv; ln -s ../victim/x "
          "run/best.safetensors");
    expect(73, "summary.csv", shell(FIT "--out run --overwrite", program));
    expect(0, "precious", shell("cat victim/x"));
    shell("rm run/summary.csv");
    expect(0, "", shell(FIT "--out run --overwrite", program)); /* replaces the link best.safetensors */
    expect(0, "precious", shell("cat victim/x"));
    shell("rm run/.lock; ln -s ../victim/x run/.lock");
    expect(73, "", shell(FIT "--out run --overwrite", program));
    expect(0, "precious", shell("cat victim/x"));
    expect(0, "", shell(SWEEP "--out grid && mv grid/runs victim/runs && ln -s ../victim/runs grid/runs", program));
    expect(73, "grid/runs: is a link", shell(SWEEP "--out grid --overwrite", program));
    expect(0, "", shell("[ $(ls victim/runs/*/metrics.json | wc -l) = 2 ]"));
}

/* What processes leave that were killed while they wrote. */
static void dead_writers_files_are_removed(void **state)
{
    (void)state;
    expect(0, "",
           shell(FIT "--out dead && cd dead && touch best.safetensors.123.tmp checkpoint.9.tmp metrics.json.7.tmp "
                     "mine.1.tmp best.safetensors.x.tmp",
                 program));
    expect(0, "", shell(FIT "--out dead --resume", program));
    expect(0, "best.safetensors.x.tmp\nmine.1.tmp\n", shell("cd dead && ls *.tmp && [ $(ls *.tmp | wc -l) = 2 ]"));
    expect(0, "",
           shell(SWEEP "--out deadgrid && cd deadgrid && touch sweep.csv.123.tmp checkpoint-0001-2.9.tmp", program));
    expect(0, "", shell(SWEEP "--out deadgrid --resume && ! ls deadgrid/*.tmp", program));
}

/* A path as long as the system allows: what run accepts, fit accepts too. */
static void long_paths(void **state)
{
    (void)state;
    char deep[2300] = "";
    for (int i = 0; i < 10; i++)
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "%s%0200d", i ? "/" : "", i);
    expect(0, "",
           shell("%s run --data photos --teacher none --out %s/cache --size 32 --base 36 --views 1 --quiet", dumper,
                 deep));
    expect(0, "",
           shell("%s fit --cache %s/cache --student tiny.net --loss ce --epochs 1 --quiet --out %s/run", program, deep,
                 deep));
    expect(0, "", shell("[ -e %s/run/metrics.json ]", deep));
}

/* Reads the run's files; the status of the first that fails. */
static enum status read_run(struct error *err)
{
    enum status status = STATUS_OK;
    struct run_info info = {0};
    struct run_metrics metrics = {0};
    struct student student = {0};
    char *run = path_join(folder, "damaged");
    TRY(run_info_read(&info, run, err));
    TRY(run_metrics_read(&metrics, run, err));
    TRY(run_student(&info, run, "best", &student, err));
cleanup:
    student_release(&student);
    run_metrics_release(&metrics);
    run_info_release(&info);
    free(run);
    return status;
}

/* Flips bits of a file: the run must be refused, except where the flip only hides that there is a digest. */
static void flip(const char *name, const char *field, size_t step)
{
    char *run = path_join(folder, "damaged"), *path = path_join(run, name);
    unsigned char *bytes;
    size_t size, found = 0, tried = 0;
    assert_int_equal(file_read(path, 1 << 24, &bytes, &size, NULL), STATUS_OK);
    const char *seal = field ? memmem(bytes, size, field, strlen(field)) : NULL;
    const size_t first = seal ? (size_t)((unsigned char *)seal - bytes) : size;
    assert_true(!field || seal);
    for (size_t i = 0; i < size; i += step) {
        if (i >= first && i < first + strlen(field))
            continue;
        struct error err = {0};
        bytes[i] ^= (unsigned char)(1 << i % 8);
        write_file(run, name, bytes, size);
        found += read_run(&err) != STATUS_OK;
        tried++;
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    write_file(run, name, bytes, size);
    print_message("# %s: %zu of %zu flips found\n", name, found, tried);
    assert_int_equal(found, tried);
    free(bytes);
    free(path);
    free(run);
}

static void damage_is_found(void **state)
{
    (void)state;
    struct error err = {0};
    expect(0, "", shell(FIT "--out damaged", program));
    if (read_run(&err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    flip("run.json", "\"file_sha256\"", 1);
    flip("metrics.json", "\"file_sha256\"", 7);
    flip("best.safetensors", "\"file_sha256\"", 3);
    flip("student.net", NULL, 1);
    if (read_run(&err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
}

/* Names of classes and files are printed, in tables, messages and notes: a terminal must not obey them. */
static void names_do_not_command_the_terminal(void **state)
{
    (void)state;
    static const char esc[] = "$(printf '\\033[31m')", csi[] = "$(printf '\\302\\23331m')";
    expect(
        0, "",
        shell(
            "mkdir -p odd && cp -r photos/train photos/val odd/ && for s in train val; do mv odd/$s/class_00 \"odd/$s/"
            "a%sb\"; mv odd/$s/class_01 \"odd/$s/c%sd\"; done && cp teacher.onnx \"t%s.onnx\"",
            esc, csi, esc));
    const char *const commands[] = {"%s run --data odd --teacher \"t%s.onnx\" --out oddcache --size 32 --base 36 "
                                    "--views 1 --teacher-check off && echo made",
                                    "%s inspect oddcache; : %s",
                                    "%s inspect oddcache --views 1 --sample 1; : %s",
                                    "%s verify oddcache; : %s",
                                    "%s verify \"t%s.onnx\" 2>&1",
                                    "%s inspect \"t%s.onnx\""};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        shell(commands[i], dumper, esc);
        if (strpbrk(output, "\033\r") || strstr(output, "\302\233"))
            fail_msg("%s: %s", commands[i], output);
    }
    expect(0, "\\x1b[31mb",
           shell("%s fit --cache oddcache --student tiny.net --loss ce --epochs 1 --out oddrun", program));
    assert_null(strchr(output, '\033'));
}

/* A run of a version without digests and marks: it can be evaluated, resumed and replaced. */
static void older_runs_are_read(void **state)
{
    (void)state;
    expect(0, "",
           shell(FIT "--out older && cd older && : >.lock && "
                     "sed -i '/structure_sha256/d; s/^\\t\"file_sha256\".*/\\t\"padding\": 0/' run.json metrics.json",
                 program));
    expect(0, "", shell("! grep -q sha256\\\" older/run.json"));
    expect(0, "agreement", shell("%s eval --run older --quiet", program));
    expect(0, "", shell(FIT "--out older --resume", program));
    expect(0, "", shell(": >older/.lock; " FIT "--out older --overwrite", program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(an_empty_folder_is_fine),
        cmocka_unit_test(a_finished_run_is_not_replaced),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(dead_writers_files_are_removed),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(names_do_not_command_the_terminal),
        cmocka_unit_test(older_runs_are_read),
    };
    return cmocka_run_group_tests_name("own_folder", tests, program_setup, program_teardown);
}
