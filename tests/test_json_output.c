/* docs/output.schema.json describes what every command prints with --json, and nothing else: each command but `import`
 * is run, and its output is checked against the schema, which names every field. So a field that is new, gone or of
 * another type makes this fail. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/json.h"
#include "shared/base/files.h"
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

static bool type_fits(const cJSON *value, const cJSON *types)
{
    if (cJSON_IsString(types))
        return has_type(value, types->valuestring);
    for (const cJSON *type = types->child; type; type = type->next)
        if (has_type(value, type->valuestring))
            return true;
    return false;
}

static bool complain(const char *where, const char *what)
{
    snprintf(complaint, sizeof complaint, "%.300s %s", where, what);
    return false;
}

static bool fits(const cJSON *value, const cJSON *rule, const char *where);

static bool fields_fit(const cJSON *value, const cJSON *rule, const char *where)
{
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(rule, "properties");
    const cJSON *others = cJSON_GetObjectItemCaseSensitive(rule, "additionalProperties");
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
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(properties, field->string);
        if (!own && !cJSON_IsObject(others))
            return complain(place, "is not in the schema");
        if (!fits(field, own ? own : others, place))
            return false;
    }
    return true;
}

static bool fits(const cJSON *value, const cJSON *rule, const char *where)
{
    const cJSON *reference = cJSON_GetObjectItemCaseSensitive(rule, "$ref");
    if (reference) {
        const char *name = reference->valuestring + strlen("#/$defs/");
        const cJSON *target = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(schema, "$defs"), name);
        return target ? fits(value, target, where) : complain(where, "has a $ref to nothing");
    }
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(rule, "type");
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(rule, "items");
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

/* ---- the commands ---- */

static void check(const char *name, const char *format, const char *which, const char *more)
{
    char command[2048];
    snprintf(command, sizeof command, format, which, more);
    const int code = shell("%s 2>errors >out.json; code=$?; cat errors; exit $code", command);
    if (code != 0)
        fail_msg("%s: exit code %d: %s", name, code, output);
    cJSON *value = json_of("out.json");
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(schema, "properties"), name);
    if (!rule)
        fail_msg("%s is not in the schema", name);
    if (!fits(value, rule, name))
        fail_msg("%s", complaint);
    cJSON_Delete(value);
}

static void teacher_dump_prints_what_is_written(void **state)
{
    (void)state;
    const char *run =
        "%s run --data photos --teacher teacher.onnx --size 32 --base 36 --views 2 --augment light --quiet --json %s";
    check("teacher_dump run", run, dumper, "--out a --feature stem:pooled");
    check("teacher_dump run", run, dumper, "--out c");
    check("teacher_dump run --dry-run", run, dumper, "--out b --dry-run");
    check("teacher_dump run --compare-augment", run, dumper, "--out b --compare-augment");
    check("teacher_dump inspect CACHE", "%s inspect c --json%s", dumper, "");
    check("teacher_dump inspect FILE.onnx", "%s inspect teacher.onnx --size 32 --json%s", dumper, "");
    check("teacher_dump verify", "%s verify c --json%s", dumper, "");
    check("teacher_dump recheck", "%s recheck c --teacher teacher.onnx -n 3 --json%s", dumper, "");
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
    check("student_train sweep",
          "%s sweep --cache cache --student tiny.net --grid lr=1e-3,2e-3 --epochs 1 --out s --quiet --json%s", program,
          "");
    check("student_train search",
          "%s search --cache cache --loss ce --candidates 2 --finalists 1 --epochs 2 --max-params 20000 --out f "
          "--quiet --json%s",
          program, "");
    check("student_train eval", "%s eval --run r --quiet --tta hflip --json%s", program, "");
    check("student_train predict", "%s predict --run r --data photos/val --out p.csv --quiet --tta hflip --json%s",
          program, "");
    check("student_train export", "%s export --run r --out e --quiet --int8 --c --json%s", program, "");
    check("student_train compare", "%s compare --run r --run h --baseline ce --json%s", program, "");
    check("student_train compare", "%s compare --run r --run h --cache cache --json%s", program, "");
    check("student_train inspect", "%s inspect --student dwpw --json%s", program, "");
    check("student_train losses", "%s losses --json%s", program, "");
    check("student_train losses TERM", "%s losses kd --json%s", program, "");
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
        cmocka_unit_test(student_train_prints_what_is_written),
        cmocka_unit_test(every_command_is_there),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
