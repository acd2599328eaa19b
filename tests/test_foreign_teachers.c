/* Teachers that our reader does not know, without onnxruntime: a stand-in (stand_in_onnxruntime.c) shows how the
 * library is found and checked, how tensors are laid out on their way in and out, on the CPU and, with the shim, on a
 * GPU, and what errors say. tests/test_onnxruntime.sh uses the real library. */
#define _GNU_SOURCE
#include "formats/cache/cache.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_model.h"
#include "tests/helper_program.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char stand_in[4096], shim_dumper[4200];

/* A model of operators that nobody knows, with the tensors of the stand-in's network. */
static void write_foreign(const char *name, int type, const int64_t *dims)
{
    struct proto graph = {0}, model = {0};
    const int64_t logits[] = {dims[0], 3};
    model_put_node(&graph, "Mystery", "input", "map");
    model_put_node(&graph, "Mystery", "map", "tokens");
    model_put_node(&graph, "Mystery", "tokens", "logits");
    model_put_value(&graph, GRAPH_INPUT, "input", type, dims, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "logits", type, logits, 2);
    model_make(&model, &graph, 17);
    write_file(folder, name, model.bytes, model.size);
    proto_release(&model);
}

static void write_script(const char *name, const char *text)
{
    char path[4200];
    write_file(folder, name, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **state)
{
    char build[4096];
    if (program_setup(state) != 0)
        return -1;
    snprintf(build, sizeof build, "%.4000s", dumper);
    *strrchr(build, '/') = 0;
    snprintf(stand_in, sizeof stand_in, "%.4000s/tests/stand_in/libonnxruntime.so", build);
    snprintf(shim_dumper, sizeof shim_dumper, "%.4000s/shim/teacher_dump", build);
    write_foreign("foreign.onnx", ONNX_FLOAT, (const int64_t[]){0, 3, 32, 32});
    write_foreign("last.onnx", ONNX_FLOAT, (const int64_t[]){0, 32, 32, 3});
    write_foreign("half.onnx", ONNX_FLOAT16, (const int64_t[]){0, 3, 32, 32});
    write_foreign("half_last.onnx", ONNX_FLOAT16, (const int64_t[]){0, 32, 32, 3});
    write_foreign("three.onnx", ONNX_FLOAT, (const int64_t[]){3, 3, 32, 32});
    write_foreign("bytes.onnx", ONNX_UINT8, (const int64_t[]){0, 3, 32, 32});
    write_foreign("wide.onnx", ONNX_FLOAT, (const int64_t[]){0, 3, 32, 48});
    return 0;
}

/* ---- finding it ---- */

static void finds_the_library(void **state)
{
    (void)state;
    assert_int_equal(
        shell("mkdir -p plain below/capi package/onnxruntime/capi && cp '%s' plain/libonnxruntime.so.1.22.0 "
              "&& cp '%s' below/capi/ && cp '%s' package/onnxruntime/capi/libonnxruntime.so.1.22.0",
              stand_in, stand_in, stand_in),
        0);
    write_script("python", "#!/bin/sh\necho \"$PWD/package/onnxruntime\"\n");
    expect(0, "onnxruntime 1.22.0", shell("SOFTCACHE_ONNXRUNTIME='%s' %s inspect foreign.onnx", stand_in, dumper));
    expect(0, "stand_in/libonnxruntime.so",
           shell("SOFTCACHE_ONNXRUNTIME='%s' %s inspect foreign.onnx", stand_in, dumper));
    expect(0, "plain/libonnxruntime.so.1.22.0", shell("SOFTCACHE_ONNXRUNTIME=plain %s inspect foreign.onnx", dumper));
    expect(0, "below/capi/libonnxruntime.so", shell("SOFTCACHE_ONNXRUNTIME=below %s inspect foreign.onnx", dumper));
    expect(0, "(libonnxruntime.so",
           shell("LD_LIBRARY_PATH=\"${PWD}/below/capi\" %s inspect foreign.onnx | sed 's/([^ )]*\\//(/'", dumper));
    expect(0, "onnxruntime 1.22.0",
           shell("SOFTCACHE_PYTHON=\"$PWD/python\" SOFTCACHE_ONNXRUNTIME= %s inspect foreign.onnx", dumper));
}

static void says_what_is_missing(void **state)
{
    (void)state;
    write_script("python", "#!/bin/sh\nmkdir -p old/onnxruntime/capi\necho \"$PWD/old/onnxruntime\"\n");
    expect(78, "is onnxruntime 1.9.0, but 1.11 or newer is needed",
           shell("STAND_IN_VERSION=1.9.0 SOFTCACHE_ONNXRUNTIME='%s' %s inspect foreign.onnx", stand_in, dumper));
    expect(78, "cannot be loaded", shell("SOFTCACHE_ONNXRUNTIME=teacher.onnx %s inspect foreign.onnx", dumper));
    expect(78, "neither libonnxruntime.so nor a folder",
           shell("SOFTCACHE_ONNXRUNTIME=nowhere %s inspect foreign.onnx", dumper));
    expect(
        78, "no OrtGetApiBase",
        shell("SOFTCACHE_ONNXRUNTIME=\"$(dirname %s)/softcache_onednn.so\" %s inspect foreign.onnx", dumper, dumper));
    if (shell("SOFTCACHE_PYTHON=/bin/false %s inspect foreign.onnx", dumper) == 0)
        skip(); /* the loader's path has an onnxruntime */
    expect(78, "pip install onnxruntime", shell("SOFTCACHE_PYTHON=/bin/false %s inspect foreign.onnx", dumper));
    expect(78, "operator 'Mystery'", shell("SOFTCACHE_PYTHON=/bin/false %s inspect foreign.onnx", dumper));
    expect(78, "older than 1.19", shell("SOFTCACHE_PYTHON=\"$PWD/python\" %s inspect foreign.onnx", dumper));
    expect(78, "operator 'Mystery'",
           shell("SOFTCACHE_ONNXRUNTIME='%s' %s inspect foreign.onnx --teacher-engine native", stand_in, dumper));
}

static void refuses_inputs(void **state)
{
    (void)state;
    expect(78, "takes bytes", shell("SOFTCACHE_ONNXRUNTIME='%s' %s inspect bytes.onnx", stand_in, dumper));
    expect(78, "only square inputs",
           shell("SOFTCACHE_ONNXRUNTIME='%s' %s run --data photos --teacher wide.onnx --out never", stand_in, dumper));
    expect(78, "onnxruntime 1.22.0, running it: this model runs another number of samples",
           shell("STAND_IN_BATCH=5 SOFTCACHE_ONNXRUNTIME='%s' %s inspect foreign.onnx", stand_in, dumper));
    expect(78, "did you mean 'tokens'",
           shell("SOFTCACHE_ONNXRUNTIME='%s' %s run --data photos --teacher foreign.onnx --out never --feature tokns",
                 stand_in, dumper));
}

/* ---- values ---- */

/* environment: such as "STAND_IN_BATCH=3"; options: of `run`. */
static void dump(const char *environment, const char *command, const char *model, const char *out, const char *options)
{
    expect(
        0, "complete",
        shell("%s SOFTCACHE_ONNXRUNTIME='%s' %s run --data photos --teacher %s --out %s --views 2 --size 32 --base 40 "
              "--teacher-engine onnxruntime --feature map --feature tokens --feature tokens:pooled --teacher-check off "
              "%s",
              environment, stand_in, command, model, out, options));
}

/* The stand-in's tensors are multiples of each other, in three layouts. */
static void check_values(const char *name, float tolerance)
{
    char path[4200];
    struct cache cache;
    struct cache_shard shard;
    static float map[3 * 32 * 32], tokens[3 * 32 * 32], pooled[3], logits[3];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    const struct cache_manifest *manifest = &cache.manifest;
    assert_string_equal(manifest->engine.name, "onnxruntime");
    assert_string_equal(manifest->engine.version, "1.22.0");
    assert_int_equal(manifest->features[1].c, 3);
    assert_int_equal(manifest->features[1].h, 32);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, CACHE_READ_FEATURES, &shard, NULL), STATUS_OK);
    for (uint32_t i = 0; i < shard.count; i++) {
        cache_feature_value(manifest, &shard, 0, i, 1, map);
        cache_feature_value(manifest, &shard, 1, i, 1, tokens);
        cache_feature_value(manifest, &shard, 2, i, 1, pooled);
        cache_logits(manifest, &shard, i, 1, logits);
        for (int c = 0; c < 3; c++) {
            double sum = 0;
            for (int p = 0; p < 1024; p++) {
                assert_float_equal(tokens[c * 1024 + p], 1.5f * map[c * 1024 + p], tolerance * 4);
                sum += (double)map[c * 1024 + p];
            }
            assert_float_equal(pooled[c], (float)(1.5 * sum / 1024), tolerance * 4);
            assert_float_equal(logits[c], (float)(2 * sum / 1024), tolerance * 8);
        }
    }
    cache_shard_release(&shard);
    cache_release(&cache);
}

static void same_shards(const char *a, const char *b)
{
    same_file(a, b, "train-00000.h5");
    same_file(a, b, "val-00000.h5");
}

static void every_layout_gives_the_same(void **state)
{
    (void)state;
    dump("", dumper, "foreign.onnx", "first", "");
    dump("", dumper, "last.onnx", "last", "");
    dump("", dumper, "half.onnx", "half", "");
    dump("", dumper, "half_last.onnx", "half_last", "");
    check_values("first", 2e-3f);
    check_values("half", 4e-3f);
    same_shards("first", "last");
    same_shards("half", "half_last");
}

static void every_batch_gives_the_same(void **state)
{
    (void)state;
    dump("", dumper, "foreign.onnx", "any", "--batch 5");
    dump("STAND_IN_BATCH=1", dumper, "foreign.onnx", "one", "--batch 7 --threads 1");
    dump("STAND_IN_BATCH=3", dumper, "three.onnx", "three", "--batch 7");
    same_shards("any", "one");
    same_shards("any", "three");
}

/* On the shim, whose streams do their work later, as those of a GPU do. */
static void a_gpu_gives_the_same(void **state)
{
    (void)state;
    static const char cuda[] = "--device cuda --teacher-precision fp32 --batch 6";
    static const char run[] = "run --data photos --teacher foreign.onnx --size 32 --device cuda --out never";
    char shim[4300];
    if (!file_exists(shim_dumper))
        skip();
    dump("", dumper, "foreign.onnx", "cpu", "");
    dump("", dumper, "half.onnx", "cpu_half", "");
    dump("", dumper, "foreign.onnx", "cpu_mirrored", "--teacher-tta hflip");
    dump("", dumper, "foreign.onnx", "cpu_bgr", "--channels bgr");
    expect(78, "pip install onnxruntime-gpu", shell("SOFTCACHE_ONNXRUNTIME='%s' %s %s", stand_in, shim_dumper, run));
    snprintf(shim, sizeof shim, "%.*ssoftcache_cuda.so", (int)(strlen(shim_dumper) - strlen("teacher_dump")),
             shim_dumper);
    setenv("STAND_IN_CUDA", shim, 1);
    expect(78, "in the types of the model's file",
           shell("SOFTCACHE_ONNXRUNTIME='%s' %s %s --teacher-precision fp16", stand_in, shim_dumper, run));
    dump("", shim_dumper, "foreign.onnx", "gpu", cuda);
    expect(0, "its CUDA provider, fp32", 0);
    dump("", shim_dumper, "last.onnx", "gpu_last", cuda);
    dump("", shim_dumper, "half.onnx", "gpu_half", cuda);
    dump("", shim_dumper, "half_last.onnx", "gpu_half_last", cuda);
    dump("STAND_IN_BATCH=3", shim_dumper, "three.onnx", "gpu_three", cuda);
    dump("", shim_dumper, "foreign.onnx", "gpu_bgr", "--channels bgr --device cuda --teacher-precision fp32");
    dump("", shim_dumper, "foreign.onnx", "gpu_mirrored", "--teacher-tta hflip --device cuda --teacher-precision fp32");
    unsetenv("STAND_IN_CUDA");
    same_shards("cpu", "gpu");
    same_shards("cpu", "gpu_last");
    same_shards("cpu_half", "gpu_half");
    same_shards("cpu_half", "gpu_half_last");
    same_shards("cpu", "gpu_three");
    same_shards("cpu_mirrored", "gpu_mirrored");
    same_shards("cpu_bgr", "gpu_bgr");
    expect(1, "differ", shell("cmp cpu/train-00000.h5 cpu_bgr/train-00000.h5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_library),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(refuses_inputs),
        cmocka_unit_test(every_layout_gives_the_same),
        cmocka_unit_test(every_batch_gives_the_same),
        cmocka_unit_test(a_gpu_gives_the_same),
    };
    return cmocka_run_group_tests(tests, setup, program_teardown);
}
