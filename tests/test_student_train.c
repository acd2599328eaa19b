/* student_train from the outside: a synthetic photo set, a teacher with random weights, a cache by teacher_dump; then
 * runs that must be equal, runs that are stopped and resumed, and what is refused. Programs: $BUILD (build). */
#define _GNU_SOURCE
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_program.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define FIT "%s fit --cache cache --student tiny.net --batch 16 --quiet "

static void learns_and_leaves_everything(void **state)
{
    (void)state;
    static const char *const files[] = {"config.ini",   "run.json",         "student.net",      "checkpoint",
                                        "metrics.json", "best.safetensors", "last.safetensors", "summary.csv",
                                        "log.jsonl",    "report.html"};
    expect(0, "best of 12 epochs", shell(FIT "--loss ce --epochs 12 --lr 0.02 --out run", program));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/run/%s", folder, files[i]);
        if (!file_exists(path))
            fail_msg("no %s", files[i]);
    }
    expect(0, "", shell("grep -c . run/summary.csv | grep -x 13 && ls run/events.out.tfevents.*"));
    /* colours tell the synthetic classes apart: chance is 0.33 */
    expect(0, "learned",
           shell("awk -F, 'NR > 1 && $4 > best { best = $4 } END { if (best >= 75) print \"learned\"; "
                 "else print \"best\", best }' run/summary.csv"));
    /* eval repeats the number of the best epoch */
    expect(0, "equal",
           shell("a=$(%s eval --run run --json --quiet | grep '\"accuracy\"' | head -1 | tr -dc '0-9.'); "
                 "b=$(grep '\"accuracy\"' run/metrics.json | head -1 | tr -dc '0-9.'); "
                 "[ -n \"$a\" ] && [ \"$a\" = \"$b\" ] && echo equal || echo \"$a $b\"",
                 program));
    expect(0, "agreement with the teacher", shell("%s eval --run run --split val --quiet", program));
    expect(0, "24 samples", shell("%s eval --run run --weights last --quiet --threads 1", program));
    expect(0, "72 samples", shell("%s eval --run run --split train --quiet", program));
    /* the same views, seen smaller */
    expect(0, "\"size\":\t20", shell(FIT "--loss kd --epochs 1 --size 20 --out small && cat small/run.json", program));
    expect(0, "agreement", shell("%s eval --run small --quiet", program));
}

static void compares_runs(void **state)
{
    (void)state;
    /* the table shows what the run's own evaluation says, and the teacher from the manifest */
    expect(
        0, "same",
        shell("%s compare --run run --json > table.json && accuracy=$(sed -n "
              "'s/.*\"accuracy\":\t*\\([0-9.e-]*\\).*/\\1/p' "
              "table.json | head -1) && test -n \"$accuracy\" && grep -A6 '\"validation\"' run/metrics.json | grep -q "
              "\"accuracy.*$accuracy\" && echo same",
              program));
    expect(0, "bytes per view", shell("%s compare --cache cache --run run", program));
    expect(66, "metrics.json: is missing", shell("%s compare --run nowhere", program));
    expect(64, "--run", shell("%s compare", program));
}

static void same_fit_same_bytes(void **state)
{
    (void)state;
    const char *options =
        "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 5 --seed 3 --ema 0.9 --schedule cosine --warmup-epochs 1";
    expect(0, "", shell(FIT "%s --out same1", program, options));
    expect(0, "", shell(FIT "%s --out same2 --threads 1", program, options));
    expect(0, "", shell(FIT "%s --out same3 --threads 3", program, options));
    same_run("same1", "same2");
    same_run("same1", "same3");
    expect(0, "", shell(FIT "%s --out same4 --images disk", program, options));
    expect(0, "", shell(FIT "%s --out same5 --images memory", program, options));
    same_run("same4", "same5");
    expect(0, "",
           shell(FIT "%s --out other --seed 4", program,
                 "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 5 --ema 0.9 --schedule cosine --warmup-epochs 1"));
    expect(1, "differ", shell("cmp same1/best.safetensors other/best.safetensors"));
}

/* Activations in bf16: other bytes than fp32, close to it, and the same with any number of threads and after a stop. */
static void bf16_learns_too(void **state)
{
    (void)state;
    const char *options = "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 6 --ema 0.9 --precision bf16";
    expect(0, "", shell(FIT "%s --out half1 --threads 1", program, options));
    expect(0, "", shell(FIT "%s --out half2 --threads 3 --time-limit 1e-6", program, options));
    expect(78, "precision",
           shell(FIT "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 6 --ema 0.9 --out half2 --resume", program));
    expect(0, "", shell(FIT "%s --out half2 --threads 2 --resume", program, options));
    same_run("half1", "half2");
    expect(0, "", shell(FIT "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 6 --ema 0.9 --out full", program));
    expect(1, "differ", shell("cmp half1/best.safetensors full/best.safetensors"));
    expect(0, "close",
           shell("paste -d, half1/summary.csv full/summary.csv | awk -F, 'NR == 1 { n = NF / 2 } NR > 1 { "
                 "d = $2 - $(n + 2); if (d > 0.05 || d < -0.05) bad = 1 } END { print bad ? \"far\" : \"close\" }'"));
}

/* Starts a long fit, stops it by a signal once it has finished two epochs, resumes it; the result is that of an
 * uninterrupted one. */
static void stop_and_resume(int signal_number, const char *out, int expected_code)
{
    const char *options =
        "--loss '0.5*ce + 0.5*kd(T=2)' --epochs 30 --ema 0.95 --optimizer sgd --lr 0.05 --patience 40";
    char reference[64];
    snprintf(reference, sizeof reference, "%s_whole", out);
    expect(0, "", shell(FIT "%s --out %s", program, options, reference));
    int code =
        shell(FIT "%s --out %s & pid=$!; "
                  "for i in $(seq 400); do [ $(grep -c . %s/summary.csv 2>/dev/null || echo 0) -ge 3 ] && break; "
                  "sleep 0.01; done; kill -%d $pid; wait $pid",
              program, options, out, out, signal_number);
    if (code == 0)
        print_message("# the fit was over before the signal came\n");
    else if (code != expected_code)
        fail_msg("exit code %d: %s", code, output);
    expect(0, "", shell(FIT "%s --out %s --resume", program, options, out));
    same_run(reference, out);
}

static void sigint_and_resume(void **state)
{
    (void)state;
    stop_and_resume(SIGINT, "interrupted", STATUS_INTERRUPTED);
}

static void sigkill_and_resume(void **state)
{
    (void)state;
    stop_and_resume(SIGKILL, "killed", 128 + SIGKILL);
}

static void time_limit_and_resume(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 4 --out whole", program));
    expect(0, "stopped early", shell(FIT "--epochs 4 --time-limit 1e-6 --out limited", program));
    expect(0, "best of 4 epochs", shell(FIT "--epochs 4 --out limited --resume", program));
    same_run("whole", "limited");
    expect(0, "best of 4 epochs", shell(FIT "--epochs 4 --out limited --resume", program)); /* nothing left to do */
}

/* A run that AVX2 began is not resumed by AVX-512 unseen. */
static void another_instruction_set_is_not_resumed(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq"))
        skip(); /* both would be the same here */
    expect(0, "", shell(FIT "--epochs 3 --deterministic --out avx2", program));
    expect(0, "stopped early", shell(FIT "--epochs 3 --deterministic --time-limit 1e-6 --out mixed", program));
    expect(STATUS_CONFIG, "cannot resume: it was computed by AVX2, and here is AVX-512",
           shell(FIT "--epochs 3 --out mixed --resume", program));
    expect(0, "", shell("cp -r mixed same; " FIT "--epochs 3 --deterministic --out same --resume", program));
    same_run("avx2", "same");
    expect(0, "\"kernels\":\t\"AVX2\"", shell("cat same/run.json"));
    expect(0, "best of 3 epochs", shell(FIT "--epochs 3 --out mixed --resume --allow-mixed", program));
    expect(0, "\"kernels\":\t\"AVX2 + AVX-512\"", shell("cat mixed/run.json"));
}

/* Products of bf16 have last bits of their own, and are only used for bf16. */
static void products_of_bf16_are_named(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512dq"))
        skip();
    expect(0, "", shell(FIT "--epochs 1 --precision bf16 --out rounded", program));
    expect(0, "\"kernels\":\t\"AVX512-BF16\"", shell("cat rounded/run.json"));
    expect(0, "", shell(FIT "--epochs 1 --out floats", program));
    expect(0, "\"kernels\":\t\"AVX-512\"", shell("cat floats/run.json"));
}

static void another_configuration_is_not_resumed(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 2 --out kept", program));
    expect(STATUS_CANT_CREATE, "--resume resumes it", shell(FIT "--epochs 2 --out kept", program));
    expect(STATUS_CONFIG, "cannot resume: lr was 1e-3, now 0.5",
           shell(FIT "--epochs 2 --lr 0.5 --out kept --resume", program));
    expect(
        STATUS_CONFIG, "cannot resume: student was ",
        shell("sed s/12/16/ tiny.net >wide.net; %s fit --cache cache --student wide.net --batch 16 --quiet --epochs 2 "
              "--out kept --resume",
              program));
    expect(STATUS_BAD_DATA, "is damaged",
           shell("cp -r kept damaged; printf X | dd of=damaged/checkpoint bs=1 seek=900 conv=notrunc status=none; " FIT
                 "--epochs 2 --out damaged --resume",
                 program));
    expect(0, "best of 2 epochs", shell(FIT "--epochs 2 --out kept --overwrite", program));
}

/* A moving average that forgets at once is the weights themselves, running statistics included. */
static void average_covers_everything(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 2 --out plain", program));
    expect(0, "", shell(FIT "--epochs 2 --ema 1e-30 --out averaged", program));
    same_run("plain", "averaged");
}

static void starts_from_given_weights(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 1 --out first", program));
    expect(0, "",
           shell(FIT "--epochs 1 --lr 0 --weight-decay 0 --init first/last.safetensors --order sequential --out second",
                 program));
    expect(STATUS_CONFIG, "missing",
           shell("%s fit --cache cache --student speed --size 32 --quiet --out third --init "
                 "first/last.safetensors",
                 program));
}

/* A cache without a teacher trains one. */
static void trains_without_a_teacher(void **state)
{
    (void)state;
    expect(0, "",
           shell("%s run --data photos --teacher none --out bare --size 32 --base 36 --views 2 --quiet", dumper));
    expect(0, "best of 2 epochs",
           shell("%s fit --cache bare --student tiny.net --loss ce --epochs 2 --quiet --out teacher_run", program));
    expect(0, "null", shell("grep '\"teacher_accuracy\"' teacher_run/metrics.json | tail -1"));
    expect(STATUS_CONFIG, "has no teacher's logits, but loss 'kd(T=4)' needs them",
           shell("%s fit --cache bare --student tiny.net --loss kd --epochs 2 --quiet --out bad", program));
    /* one of photos as they are */
    expect(0, "", shell("%s run --data photos --teacher none --out asis --size 32 --base 0 --views 2 --quiet", dumper));
    expect(0, "best of 1 epochs",
           shell("%s fit --cache asis --student tiny.net --loss ce --epochs 1 --quiet --out asis_run", program));
    /* and one of so many classes that only the largest logits of a teacher would be kept */
    expect(
        0, "",
        shell(
            "set -- $(find $PWD/photos -name '*.jpg') && for i in $(seq 300); do mkdir -p many/train/$i many/val/$i && "
            "cp $1 many/train/$i/ && cp $2 many/val/$i/ || exit 1; done && "
            "%s run --data many --teacher none --out manycache --size 32 --base 36 --views 1 --quiet",
            dumper));
    expect(0, "best of 1 epochs",
           shell("%s fit --cache manycache --student tiny.net --loss ce --epochs 1 --quiet --out many_run", program));
}

static void predicts_and_exports(void **state)
{
    (void)state;
    expect(0, "", shell(FIT "--epochs 3 --out trained", program));
    expect(0, "8 predictions in out.csv",
           shell("%s predict --run trained --data photos/val/class_01 --out out.csv --quiet --batch 3", program));
    expect(0, "Id,Category\n0000,", shell("cat out.csv"));
    expect(0, "0007,", shell("tail -1 out.csv"));
    /* the same photos through the cache give the same classes */
    expect(0, "24 predictions",
           shell("%s predict --run trained --cache cache --split val --out all.csv --quiet", program));
    expect(0, "", shell("sed 1d out.csv | cut -d, -f2 >a; sed '1d' all.csv | sed -n 9,16p | cut -d, -f2 >b; cmp a b"));
    expect(0, "student.onnx", shell("%s export --run trained --out exported", program));
    expect(0, "", shell("cmp exported/student.safetensors trained/best.safetensors && test -s exported/student.py"));
    expect(0, "student.c, student.h (float", shell("%s export --run trained --out float --c", program));
    expect(0, "images that chose nothing",
           shell("%s export --run trained --out int8 --int8 --c --html --calibrate 9 --quiet", program));
    expect(0, "",
           shell("test -s int8/student-int8.onnx && test -s int8/student.html && cmp int8/student.onnx "
                 "exported/student.onnx"));
    for (int i = 0; i < 2; i++)
        expect(0, "the logits are right",
               shell("cd %s && cc -std=c99 -Wall -Wextra -Werror -DSTUDENT_TEST student.c -lm "
                     "&& ./a.out",
                     i ? "int8" : "float"));
    expect(66, "nowhere", shell("%s export --run trained --out int8 --int8 --cache nowhere", program));
    expect(64, "give --int8, too", shell("%s export --run trained --out int8 --html", program));
    /* what was exported is a student again, and a teacher */
    expect(0, "",
           shell("%s fit --cache cache --student exported/student.onnx --epochs 1 --quiet --out again", program));
    expect(0, "complete",
           shell("%s run --data photos --teacher exported/student.onnx --out cache2 --size 32 --base 36 "
                 "--views 1 --quiet",
                 dumper));
    expect(STATUS_CONFIG, "image size",
           shell("%s run --data photos --teacher teacher.onnx --out cache3 --size 32 --base 40 "
                 "--views 1 --quiet; %s eval --run trained --cache cache3 --quiet",
                 dumper, program));
}

static void refuses_bad_input(void **state)
{
    (void)state;
    expect(STATUS_USAGE, "did you mean --epochs?", shell(FIT "--epoch 3 --out bad", program));
    expect(STATUS_USAGE, "did you mean 'dwpw'?", shell("%s fit --cache cache --student dwpv --out bad", program));
    expect(STATUS_USAGE, "unknown term 'kb', did you mean 'kd'?", shell(FIT "--loss 'ce + kb' --out bad", program));
    expect(STATUS_CONFIG,
           "parameters, but the budget is 60000; choose a smaller student, or raise the budget with --max-params",
           shell("%s fit --cache cache --student lightnn --out bad", program));
    expect(STATUS_NO_INPUT, "nowhere", shell("%s fit --cache nowhere --student tiny.net --out bad", program));
    expect(STATUS_NO_INPUT, "none.net", shell("%s fit --cache cache --student none.net --out bad", program));
    expect(STATUS_BAD_DATA, "wrong.net: line 1: unknown layer 'covn'",
           shell("echo covn >wrong.net; %s fit --cache cache --student wrong.net --out bad", program));
    expect(
        STATUS_BAD_DATA, "train-00000.h5",
        shell("cp -r cache flipped; printf X | dd of=flipped/train-00000.h5 bs=1 seek=3000 conv=notrunc status=none; "
              "%s fit --cache flipped --student tiny.net --quiet --out bad",
              program));
    expect(STATUS_CANT_CREATE, "", shell("touch file; " FIT "--out file/run", program));
    expect(STATUS_NO_INPUT, "not a run", shell("%s eval --run cache", program));
    expect(STATUS_NO_INPUT, "no photos",
           shell("mkdir empty; %s predict --run kept --data empty --out x.csv --quiet", program));
    expect(STATUS_USAGE, "give --data", shell("%s predict --run kept --out x.csv", program));
    expect(STATUS_CONFIG, "not finite",
           shell(FIT "--lr 1e8 --grad-clip 0 --optimizer sgd --loss ce --epochs 9 --out wild", program));
}

/* What a cache declares is compared with the memory before anything is loaded. */
static void needs_no_more_memory_than_allowed(void **state)
{
    (void)state;
    expect(78, "MB of memory, but --max-memory is 0.1 MB: use --images disk, a machine",
           shell(FIT "--loss ce --epochs 1 --out much --max-memory 100k --images memory", program));
    expect(0, "", shell(FIT "--loss ce --epochs 1 --out much --max-memory 4M", program));
    expect(78, "split val needs", shell("%s eval --run much --max-memory 10k", program));
    /* three lines with values of gigabytes, refused before they take them: ulimit sees that */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    print_message("a sanitizer reserves more than this limit of the address space\n");
    return;
#endif
    expect(
        STATUS_INTERNAL, "bytes for activations: a smaller --batch",
        shell("printf 'conv c 2000 1x1 pad 40\\ngap\\nfc fc classes\\n' >wide.net; (ulimit -v 2000000; %s fit --cache "
              "cache --student wide.net --loss ce --epochs 1 --batch 512 --device cpu --max-memory 512M --max-params 0 "
              "--out much3)",
              program));
}

/* auto: the images go to a file if what views of this size keep of them is much of the memory. */
static void images_go_where_there_is_room(void **state)
{
    (void)state;
    const char *fit = "--student tiny.net --loss ce --epochs 1 --batch 8 --device cpu";
    expect(0, "",
           shell("%s run --data photos --teacher none --out large --size 32 --base 256 --views 2 --quiet", dumper));
    /* 256 x 341 x 3 bytes and more an image, of which only a reduced level is kept */
    expect(1, "",
           shell("%s fit --cache large %s --out roomy --max-memory 16M >log 2>&1; grep images: log", program, fit));
    expect(0, "in a file without a name in narrow, since",
           shell("%s fit --cache large %s --out narrow --max-memory 1500k >log 2>&1; grep images: log", program, fit));
    same_file("roomy", "narrow", "best.safetensors");
    expect(STATUS_IO, "File too large: make room there, or use --images memory",
           shell("ulimit -f 200; %s fit --cache large %s --out short --images disk --quiet", program, fit));
}

/* The first run keeps the decoded images and the others take them, at the same time and in any place for them; a disk
 * that is full keeps nobody from training. */
static void decoded_images_are_kept(void **state)
{
    (void)state;
    const char *options = "--loss '0.5*ce + 0.5*kd(T=4)' --epochs 3 --seed 3 --device cpu";
    expect(0, "", shell(FIT "%s --out decodes", program, options));
    expect(0, "", shell(FIT "%s --out keeps --keep-decoded of/all/caches", program, options));
    same_run("decodes", "keeps");
    expect(0, "2", shell("ls of/all/caches | wc -l")); /* of the training and of the validation split */
    expect(0, "",
           shell("for i in 1 2 3; do " FIT "%s --out takes$i --keep-decoded of/all/caches & done; wait", program,
                 options));
    same_run("decodes", "takes1");
    same_run("decodes", "takes3");
    expect(0, "", shell(FIT "%s --out from_file --keep-decoded of/all/caches --images disk", program, options));
    same_run("decodes", "from_file");
    expect(0, "",
           shell("for i in 4 5 6; do " FIT "%s --out takes$i --keep-decoded raced & done; wait", program, options));
    same_run("decodes", "takes4");
    same_run("decodes", "takes6");
    expect(0, "0", shell("ls raced | grep tmp | wc -l"));
    expect(64, "has a cache.json", shell(FIT "%s --out refused --keep-decoded cache", program, options));
    expect(64, "has a run.json", shell(FIT "%s --out refused2 --keep-decoded decodes", program, options));
    expect(73, "", shell("touch taken; " FIT "%s --out refused3 --keep-decoded taken", program, options));
    expect(0, "decoded images are not kept: scarce: a file there cannot be written: File too large",
           shell("%s run --data photos --teacher none --out wide --size 32 --base 256 --views 2 --quiet && "
                 "ulimit -f 200; %s fit --cache wide --student tiny.net --loss ce --epochs 1 --batch 8 --out not_kept "
                 "--keep-decoded scarce >log 2>&1; grep 'not kept' log",
                 dumper, program));
    expect(0, "0", shell("ls scarce | grep train | wc -l"));
    expect(0, "all as the manifest says", shell("%s verify cache", dumper));
}

static void locked_by_another_process(void **state)
{
    (void)state;
    expect(STATUS_LOCKED, "",
           shell("mkdir -p busy; exec 9>busy/.lock; flock 9; " FIT "--epochs 1 --out busy", program));
}

static void inspects(void **state)
{
    (void)state;
    expect(0, "57731 parameters, 34.8 million", shell("%s inspect --student dwpw", program));
    /* By hand: 100 images of 30,000 values, read twice, and 20 logits, moved six times: 6.012 million values. 600,000
     * weights, used forward and for their gradient, each time a multiply and an add: 240 million operations. Launches:
     * pack, multiply; the gradient of the weights; 9 others. */
    expect(0, "", shell("printf 'flatten\nfc a classes\n' >flat.net"));
    static const char *const limits[] = {"24 MB of activations in fp32, 12 MB in bf16, and computes 0.2 billion",
                                         "T4             0.075 ms   1330672 images/s (memory)",
                                         "It makes 12 launches: 2 forward, 1 backward, about 9 for views"};
    for (int i = 0; i < 3; i++)
        expect(0, limits[i],
               shell("%s inspect --student flat.net --size 100 --classes 20 --batch 100 --device-limits", program));
    expect(0, "block1", shell("%s inspect --student tiny.net --size 32 --classes 3", program));
    expect(0, "--max-params", shell("%s fit --help", program));
}

/* AdamW multiplies what decays by 1 - lr * decay, here 0: weights are only what the last steps have made of them, and
 * norms and biases are left alone. */
static void decay_spares_vectors(void **state)
{
    (void)state;
    expect(0, "",
           shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 1 --optimizer adamw --lr 1e-4 "
                 "--weight-decay 1e4 --decay weights --out spared",
                 program));
    char path[4200];
    unsigned char *file;
    size_t size;
    uint64_t length;
    int vectors = 0, others = 0;
    snprintf(path, sizeof path, "%s/spared/last.safetensors", folder);
    assert_int_equal(file_read(path, 1 << 24, &file, &size, NULL), STATUS_OK);
    memcpy(&length, file, sizeof length);
    cJSON *head = cJSON_ParseWithLength((char *)file + 8, length);
    const cJSON *tensor;
    cJSON_ArrayForEach(tensor, head)
    {
        const cJSON *offsets = cJSON_GetObjectItem(tensor, "data_offsets");
        if (!offsets || strstr(tensor->string, "running"))
            continue;
        const char *end = strrchr(tensor->string, '.');
        const size_t from = (size_t)cJSON_GetArrayItem(offsets, 0)->valuedouble,
                     to = (size_t)cJSON_GetArrayItem(offsets, 1)->valuedouble;
        const bool vector = cJSON_GetArraySize(cJSON_GetObjectItem(tensor, "shape")) < 2,
                   weight = strcmp(end, ".weight") == 0;
        for (size_t at = from; at < to; at += sizeof(float)) {
            float value;
            memcpy(&value, file + 8 + length + at, sizeof value);
            if (vector ? weight && !(value > 0.9f) : !(fabsf(value) < 1e-3f))
                fail_msg("%s has %g", tensor->string, (double)value);
        }
        vectors += vector && weight;
        others += !vector && weight;
    }
    assert_true(vectors > 0 && others > 0);
    cJSON_Delete(head);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_and_leaves_everything),
        cmocka_unit_test(compares_runs),
        cmocka_unit_test(same_fit_same_bytes),
        cmocka_unit_test(bf16_learns_too),
        cmocka_unit_test(sigint_and_resume),
        cmocka_unit_test(sigkill_and_resume),
        cmocka_unit_test(time_limit_and_resume),
        cmocka_unit_test(another_instruction_set_is_not_resumed),
        cmocka_unit_test(products_of_bf16_are_named),
        cmocka_unit_test(another_configuration_is_not_resumed),
        cmocka_unit_test(average_covers_everything),
        cmocka_unit_test(starts_from_given_weights),
        cmocka_unit_test(trains_without_a_teacher),
        cmocka_unit_test(predicts_and_exports),
        cmocka_unit_test(refuses_bad_input),
        cmocka_unit_test(needs_no_more_memory_than_allowed),
        cmocka_unit_test(images_go_where_there_is_room),
        cmocka_unit_test(decoded_images_are_kept),
        cmocka_unit_test(locked_by_another_process),
        cmocka_unit_test(inspects),
        cmocka_unit_test(decay_spares_vectors),
    };
    return cmocka_run_group_tests_name("student_train", tests, program_setup, program_teardown);
}
