/* docs/output.schema.json describes what every command prints with --json, and nothing else: each command is run, and
 * its output is checked against the schema, which names every field. So a field that is new, gone or of another type
 * makes this fail, and so does a field or a type of the schema that none of these runs prints. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/json.h"
#include "shared/base/files.h"
#include "tests/helper_answers.h"
#include "tests/helper_images.h"
#include "tests/helper_onnx_model.h"
#include "tests/helper_program.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *schema;
static char complaint[600];

/* ---- the part of JSON Schema that the document uses ---- */

static bool has_type(const cJSON *value, const char *type)
{
    switch (type[0] == 'n' ? type[2] : type[0]) {
    case 'm': /* number */
        return cJSON_IsNumber(value);
    case 'l': /* null */
        return cJSON_IsNull(value);
    case 'i':
        return cJSON_IsNumber(value) && value->valuedouble == floor(value->valuedouble);
    case 's':
        return cJSON_IsString(value);
    case 'b':
        return cJSON_IsBool(value);
    case 'a':
        return cJSON_IsArray(value);
    default:
        return cJSON_IsObject(value);
    }
}

/* What values have had is marked in the schema: cJSON leaves `valueint` of texts and objects to us. */
static bool type_fits(const cJSON *value, cJSON *types)
{
    for (cJSON *type = cJSON_IsString(types) ? types : types->child; type; type = type->next)
        if (has_type(value, type->valuestring)) {
            type->valueint = 1;
            return true;
        }
    return false;
}

static bool complain(const char *where, const char *what)
{
    snprintf(complaint, sizeof complaint, "%.300s %s", where, what);
    return false;
}

static bool fits(const cJSON *value, cJSON *rule, const char *where);

static bool fields_fit(const cJSON *value, cJSON *rule, const char *where)
{
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(rule, "properties");
    cJSON *others = cJSON_GetObjectItemCaseSensitive(rule, "additionalProperties");
    const cJSON *required = cJSON_GetObjectItemCaseSensitive(rule, "required");
    for (const cJSON *name = required ? required->child : NULL; name; name = name->next)
        if (!cJSON_GetObjectItemCaseSensitive(value, name->valuestring)) {
            char text[200];
            snprintf(text, sizeof text, "lacks '%s'", name->valuestring);
            return complain(where, text);
        }
    for (const cJSON *field = value->child; field; field = field->next) {
        char place[400];
        snprintf(place, sizeof place, "%.200s.%.100s", where, field->string);
        cJSON *own = cJSON_GetObjectItemCaseSensitive(properties, field->string);
        if (!own && !cJSON_IsObject(others))
            return complain(place, "is not in the schema");
        if (!fits(field, own ? own : others, place))
            return false;
        if (own)
            own->valueint = 1;
    }
    return true;
}

static bool fits(const cJSON *value, cJSON *rule, const char *where)
{
    const cJSON *reference = cJSON_GetObjectItemCaseSensitive(rule, "$ref");
    if (reference) {
        const char *name = reference->valuestring + strlen("#/$defs/");
        cJSON *target = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(schema, "$defs"), name);
        return target ? fits(value, target, where) : complain(where, "has a $ref to nothing");
    }
    cJSON *types = cJSON_GetObjectItemCaseSensitive(rule, "type");
    cJSON *items = cJSON_GetObjectItemCaseSensitive(rule, "items");
    if (!types || !type_fits(value, types))
        return complain(where, "has another type");
    if (cJSON_IsObject(value))
        return fields_fit(value, rule, where);
    int index = 0;
    for (const cJSON *item = cJSON_IsArray(value) ? value->child : NULL; item; item = item->next) {
        char place[400];
        snprintf(place, sizeof place, "%.300s[%d]", where, index++);
        if (!items || !fits(item, items, place))
            return items ? false : complain(place, "is not in the schema");
    }
    return true;
}

/* ---- teachers ---- */

static void write_model(const char *name, struct proto *graph)
{
    struct proto model = {0};
    model_make(&model, graph, 13);
    write_file(folder, name, model.bytes, model.size);
    proto_release(&model);
}

/* Gives probabilities, and what stands behind its softmax keeps it from being taken off. */
static void write_softmax(void)
{
    static const int64_t input[4] = {0, 3, 32, 32}, result[2] = {0, 3}, weight[2] = {3, 3}, one[1] = {1};
    static const float weights[9] = {4, 0, 1, 0, 5, 0, 1, 0, 6}, factor = 0.999f;
    struct proto graph = {0};
    model_put_value(&graph, GRAPH_INPUT, "x", ONNX_FLOAT, input, 4);
    model_put_node(&graph, "GlobalAveragePool", "x", "mean");
    model_put_node(&graph, "Flatten", "mean", "flat");
    model_put_node(&graph, "Gemm", "flat w", "scores");
    model_put_node(&graph, "Softmax", "scores", "tail");
    model_put_node(&graph, "Mul", "tail factor", "product");
    model_put_tensor(&graph, "w", ONNX_FLOAT, weight, 2, weights, sizeof weights);
    model_put_tensor(&graph, "factor", ONNX_FLOAT, one, 1, &factor, sizeof factor);
    model_put_value(&graph, GRAPH_OUTPUT, "product", ONNX_FLOAT, result, 2);
    write_model("softmax.onnx", &graph);
}

/* For onnxruntime's stand-in (stand_in_onnxruntime.c), with the tensors of its network. */
static void write_foreign(void)
{
    static const int64_t input[4] = {0, 3, 32, 32}, result[2] = {0, 3};
    struct proto graph = {0};
    model_put_node(&graph, "Mystery", "input", "map");
    model_put_node(&graph, "Mystery", "map", "tokens");
    model_put_node(&graph, "Mystery", "tokens", "logits");
    model_put_value(&graph, GRAPH_INPUT, "input", ONNX_FLOAT, input, 4);
    model_put_value(&graph, GRAPH_OUTPUT, "logits", ONNX_FLOAT, result, 2);
    write_model("foreign.onnx", &graph);
}

/* ---- the commands ---- */

/* Checks the JSON (deleted) against the schema's form of that name. */
static void check_value(const char *name, cJSON *value)
{
    cJSON *rule = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(schema, "properties"), name);
    if (!rule)
        fail_msg("%s is not in the schema", name);
    if (!fits(value, rule, name))
        fail_msg("%s", complaint);
    rule->valueint = 1;
    cJSON_Delete(value);
}

static void check(const char *name, const char *format, const char *which, const char *more)
{
    char command[16384];
    snprintf(command, sizeof command, format, which, more);
    const int code = shell("%s 2>errors >out.json; code=$?; cat errors; exit $code", command);
    if (code != 0)
        fail_msg("%s: exit code %d: %s", name, code, output);
    check_value(name, json_of("out.json"));
}

/* metrics.json of every finished run in these folders is what fit prints, and a seal. */
static void check_cells(const char *sweeps, int expected)
{
    int count = 0;
    assert_int_equal(shell("find %s -name metrics.json", sweeps), 0);
    for (char *name = strtok(output, "\n"); name; name = strtok(NULL, "\n"), count++) {
        cJSON *value = json_of(name);
        assert_non_null(cJSON_GetObjectItemCaseSensitive(value, JSON_SEAL));
        cJSON_DeleteItemFromObjectCaseSensitive(value, JSON_SEAL);
        check_value("student_train fit", value);
    }
    assert_int_equal(count, expected);
}

static void teacher_dump_prints_what_is_written(void **state)
{
    (void)state;
    const char *run =
        "%s run --data photos --teacher teacher.onnx --size 32 --base 36 --views 2 --augment light --quiet --json %s";
    check("teacher_dump run", run, dumper, "--out a --feature stem:pooled --part 1/2");
    check("teacher_dump run", run, dumper, "--out a --feature stem:pooled");
    check("teacher_dump run", run, dumper, "--out c");
    check("teacher_dump run --dry-run", run, dumper, "--out b --dry-run --feature stem:pooled");
    check("teacher_dump run --compare-augment", run, dumper, "--out b --compare-augment");
    check("teacher_dump inspect CACHE", "%s inspect a --json%s", dumper, "");
    check("teacher_dump inspect CACHE", "%s inspect c --json%s", dumper, "");
    check("teacher_dump inspect FILE.onnx", "%s inspect teacher.onnx --size 32 --json%s", dumper, "");
    check("teacher_dump verify", "%s verify c --json%s", dumper, "");
    check("teacher_dump recheck", "%s recheck c --teacher teacher.onnx -n 3 --json%s", dumper, "");
}

/* Teachers whose outputs need something, several of them, and one that onnxruntime runs. */
static void other_teachers_print_what_is_written(void **state)
{
    (void)state;
    const char *run = "%s run --data photos --size 32 --base 36 --views 2 --augment light --quiet --json %s";
    char engine[8400];
    write_softmax();
    write_foreign();
    check("teacher_dump run", run, dumper, "--teacher softmax.onnx --teacher-check warn --out warned");
    check("teacher_dump inspect CACHE", "%s inspect warned --json%s", dumper, "");
    check("teacher_dump run", run, dumper,
          "--teacher softmax.onnx --from probabilities --logits 2,0,1 --channels bgr --teacher-check off --out p");
    check("teacher_dump inspect CACHE", "%s inspect p --json%s", dumper, "");

    snprintf(engine, sizeof engine, "SOFTCACHE_ONNXRUNTIME=\"$(dirname %s)/tests/stand_in/libonnxruntime.so\" %s",
             dumper, dumper);
    check("teacher_dump run", run, engine,
          "--teacher foreign.onnx --teacher teacher.onnx@2 --teacher-tta hflip --teacher-check off --out several");
    check("teacher_dump inspect CACHE", "%s inspect several --json%s", dumper, "");
    check("teacher_dump run", run, engine, "--teacher foreign.onnx --teacher-check off --out foreign");
    check("teacher_dump inspect CACHE", "%s inspect foreign --json%s", dumper, "");
    check("teacher_dump inspect FILE.onnx", "%s inspect foreign.onnx --json%s", engine, "");
}

/* The answers of another program about a cache without a teacher. */
static void import_prints_what_is_written(void **state)
{
    (void)state;
    check("teacher_dump run",
          "%s run --data photos --teacher none --size 32 --base 36 --views 2 --augment light --quiet --json %s", dumper,
          "--out plain");
    check("teacher_dump run",
          "%s run --data photos --teacher teacher.onnx --size 32 --base 36 --views 2 --augment light --quiet --json %s",
          dumper, "--teacher-check off --out unchecked");
    check("teacher_dump inspect CACHE", "%s inspect plain --json%s", dumper, "");
    char answers[4200], path[4200];
    snprintf(answers, sizeof answers, "%s/answers", folder);
    snprintf(path, sizeof path, "%s/unchecked", folder);
    write_answers(answers, path, 100);
    check("teacher_dump import", "%s import --cache plain --answers answers --out imported --json%s", dumper, "");
    check("teacher_dump inspect CACHE", "%s inspect imported --json%s", dumper, "");
    check("student_train fit", "%s fit --cache imported --student tiny.net --epochs 1 --out i --quiet --json%s",
          program, "");
}

static void student_train_prints_what_is_written(void **state)
{
    (void)state;
    check("student_train fit", "%s fit --cache cache --student tiny.net --loss ce --epochs 1 --out r --quiet --json%s",
          program, "");
    check(
        "student_train fit",
        "%s fit --cache cache --student tiny.net --loss 'kd(T=2)' --epochs 1 --select-on half --out h --quiet --json%s",
        program, "");
    check("student_train fit",
          "%s fit --cache cache --student tiny.net --loss ce --epochs 1 --qat 0 --out q --quiet --json%s", program, "");
    check("student_train search",
          "%s search --cache cache --loss ce --candidates 2 --finalists 1 --epochs 2 --max-params 20000 --out f "
          "--quiet --json%s",
          program, "");
    check_cells("f", 1);
    check("student_train eval", "%s eval --run r --quiet --tta hflip --json%s", program, "");
    check("student_train export", "%s export --run r --out e --quiet --int8 --c --json%s", program, "");
    check("student_train inspect", "%s inspect --student dwpw --json%s", program, "");
    check("student_train losses", "%s losses --json%s", program, "");
    check("student_train losses TERM", "%s losses kd --json%s", program, "");
}

/* The table, and metrics.json of every cell: trained alone, side by side, and in parts. */
static void sweep_prints_what_is_written(void **state)
{
    (void)state;
    const char *sweep = "%s sweep --cache cache --student tiny.net --epochs 1 --quiet --json %s";
    check("student_train sweep", sweep, program, "--grid lr=1e-3,2e-3 --out sweep1");
    check("student_train sweep", sweep, program,
          "--grid lr=1e-3,2e-3 --grid T=1,4 --loss 'kd(T={T})' --parallel 2 --out sweep2");
    check("student_train sweep", sweep, program, "--grid seed=1,2 --grid select-on=all,half --part 1/2 --out sweep3");
    check("student_train sweep", sweep, program, "--grid seed=1,2 --grid select-on=all,half --part 2/2 --out sweep3");
    check_cells("sweep?", 2 + 4 + 4);
}

static void predict_prints_what_is_written(void **state)
{
    (void)state;
    const char *predict = "%s predict --run r --data %s --out p.csv --quiet --json";
    check("student_train predict", predict, program, "photos/val --tta hflip");
    assert_int_equal(
        shell("mkdir cut && photo=$(find photos/val -name '*.jpg' | sort | head -1) && cp $photo cut/a.jpg && "
              "head -c 500 $photo >cut/b.jpg && echo no photo >cut/c.jpg"),
        0);
    check("student_train predict", predict, program, "cut --on-bad-photo salvage");
}

static void compare_prints_what_is_written(void **state)
{
    (void)state;
    check("student_train fit",
          "%s fit --cache cache --student tiny.net --loss ce --epochs 1 --seed 2 --out r2 --quiet --json%s", program,
          "");
    check("student_train fit",
          "%s fit --cache cache --student tiny.net --loss 'kd(T=2)' --epochs 1 --seed 2 --out h2 --quiet --json%s",
          program, "");
    check("student_train compare", "%s compare --run r --run h --json%s", program, "");
    check("student_train compare", "%s compare --run r --run r2 --run h --run h2 --baseline ce --json%s", program, "");
    check("student_train compare", "%s compare --run r --run h --x 1 --x 2 --json%s", program, "");
    check("student_train compare", "%s compare --run r --run h --cache cache --json%s", program, "");
}

/* What is not known is null: without a teacher, without labels, without a split to evaluate on. */
static void what_is_unknown_is_null(void **state)
{
    (void)state;
    const char *run = "%s run --size 32 --base 36 --views 2 --augment light --quiet --json %s";
    const char *fit = "%s fit --student tiny.net --epochs 1 --quiet --json %s";
    const char *sweep = "%s sweep --student tiny.net --grid lr=1e-3 --epochs 1 --quiet --json %s";
    assert_int_equal(
        shell("cp -r photos tested && cp -r photos/val tested/test && cp -r photos open && mkdir open/test && "
              "cp photos/val/class_00/* open/test"),
        0);
    check("teacher_dump run", run, dumper, "--data tested --teacher teacher.onnx --out tested-cache");
    check("student_train fit", fit, program, "--cache tested-cache --out tested-run");
    check("teacher_dump run", run, dumper, "--data open --teacher none --out open-cache");
    check("student_train fit", fit, program, "--cache open-cache --loss ce --out open-run");
    check("student_train eval", "%s eval --run open-run --quiet --tta hflip --json%s", program, "");
    check("student_train eval", "%s eval --run open-run --quiet --tta hflip --json%s", program, " --split test");
    check("student_train compare", "%s compare --run open-run --json%s", program, "");
    check("student_train sweep", sweep, program, "--cache open-cache --loss ce --out open-sweep");

    /* Caches of other programs may have no split to evaluate on, or one without labels. */
    for (int unlabelled = 0; unlabelled < 2; unlabelled++) {
        const struct cache_plan plan = {
            .classes = 3, .views = 2, .samples = {12, 0, unlabelled ? 6 : 0}, .raw = true, .seed = 7};
        char path[4200];
        snprintf(path, sizeof path, "%s/other", folder);
        assert_int_equal(shell("rm -rf other*"), 0);
        write_cache(&plan, path, 100);
        check("student_train fit", fit, program, "--cache other --out other-run");
        check("student_train compare", "%s compare --run other-run --json%s", program, "");
        check("student_train sweep", sweep, program, "--cache other --out other-sweep");
        check_cells("other-sweep", 1);
        check("student_train export", "%s export --run other-run --out other-export --quiet --int8 --json%s", program,
              "");
    }
}

/* The schema has no command that the programs do not have, and they no --json that it lacks. */
static void every_command_is_there(void **state)
{
    (void)state;
    const char *const programs[] = {dumper, program};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(shell("for c in $(%s --help | sed -n 's/^  *\\([a-z]*\\)  .*/\\1/p'); do %s $c --help | grep "
                               "-q -- '--json ' && "
                               "echo $c; done",
                               programs[i], programs[i]) <= 1,
                         1);
        int count = 0;
        for (char *name = strtok(output, "\n"); name; name = strtok(NULL, "\n"), count++) {
            char wanted[200];
            snprintf(wanted, sizeof wanted, "%s %s", i ? "student_train" : "teacher_dump", name);
            bool found = false;
            for (const cJSON *rule = cJSON_GetObjectItem(schema, "properties")->child; rule; rule = rule->next)
                found = found || strncmp(rule->string, wanted, strlen(wanted)) == 0;
            if (!found)
                fail_msg("'%s --json' is not in docs/output.schema.json", wanted);
        }
        assert_int_equal(count, i ? 9 : 5);
    }
}

/* Nothing above makes one net diverge and another one not. */
static const char unreached[] = "student_train search.selection as null";

/* Appends to `missing` what no run has printed: fields, and types where there are several. */
static void list_unseen(const cJSON *rule, const char *where, char *missing, size_t size)
{
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(rule, "type");
    for (const cJSON *type = cJSON_IsArray(types) ? types->child : NULL; type; type = type->next) {
        char text[400];
        snprintf(text, sizeof text, "%.300s as %.20s", where, type->valuestring);
        if (!type->valueint && strcmp(text, unreached) != 0)
            snprintf(missing + strlen(missing), size - strlen(missing), "\n  %s", text);
    }
    const char *const groups[] = {"properties", "$defs"};
    for (int g = 0; g < 2; g++) {
        const cJSON *group = cJSON_GetObjectItemCaseSensitive(rule, groups[g]);
        for (const cJSON *field = group ? group->child : NULL; field; field = field->next) {
            char place[300];
            snprintf(place, sizeof place, "%s%s%s", where, where[0] ? "." : "", field->string);
            if (g == 0 && !field->valueint)
                snprintf(missing + strlen(missing), size - strlen(missing), "\n  %s", place);
            else
                list_unseen(field, place, missing, size);
        }
    }
    const char *const inner[] = {"items", "additionalProperties"};
    for (int i = 0; i < 2; i++) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(rule, inner[i]);
        if (cJSON_IsObject(other))
            list_unseen(other, where, missing, size);
    }
}

static void everything_in_the_schema_is_printed(void **state)
{
    (void)state;
    char missing[8000] = "";
    list_unseen(schema, "", missing, sizeof missing);
    if (missing[0])
        fail_msg("no run above prints:%s", missing);
}

/* What is described as a number of something is an integer, or integers by kind. */
static void expect_numbers(const cJSON *rule, const char *name)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(rule, "description");
    if (cJSON_IsString(text) && strncmp(text->valuestring, "number of ", 10) == 0) {
        const cJSON *each = cJSON_GetObjectItemCaseSensitive(rule, "additionalProperties");
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(cJSON_IsObject(each) ? each : rule, "type");
        if (!cJSON_IsString(type) || strcmp(type->valuestring, "integer") != 0)
            fail_msg("'%s' is described as '%s'", name, text->valuestring);
    }
    for (const cJSON *inner = rule->child; inner; inner = inner->next)
        if (cJSON_IsObject(inner))
            expect_numbers(inner, inner->string);
}

static void numbers_are_described_as_such(void **state)
{
    (void)state;
    expect_numbers(schema, "");
}

static int setup(void **state)
{
    unsigned char *text;
    size_t size;
    if (file_read("docs/output.schema.json", 1 << 20, &text, &size, NULL) != STATUS_OK)
        return -1;
    schema = cJSON_ParseWithLength((char *)text, size);
    free(text);
    return schema ? program_setup(state) : -1;
}

static int teardown(void **state)
{
    cJSON_Delete(schema);
    return program_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teacher_dump_prints_what_is_written),
        cmocka_unit_test(other_teachers_print_what_is_written),
        cmocka_unit_test(import_prints_what_is_written),
        cmocka_unit_test(student_train_prints_what_is_written),
        cmocka_unit_test(sweep_prints_what_is_written),
        cmocka_unit_test(predict_prints_what_is_written),
        cmocka_unit_test(compare_prints_what_is_written),
        cmocka_unit_test(what_is_unknown_is_null),
        cmocka_unit_test(every_command_is_there),
        cmocka_unit_test(everything_in_the_schema_is_printed),
        cmocka_unit_test(numbers_are_described_as_such),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
