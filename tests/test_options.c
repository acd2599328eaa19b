/* The option table: every type, strictness, suggestions, configuration files, help, the resolved configuration. */
#define _GNU_SOURCE
#include "shared/base/files.h"
#include "shared/base/options.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    const char *cache, *out;
    struct option_list features;
    bool resume;
    int epochs, on_bad;
    uint64_t seed, memory;
    double rate, mean[3];
};

enum { SPEC_COUNT = 10 };
static const char *const bad_image_choices[] = {"fail", "skip", NULL};

struct fixture {
    struct sample sample;
    struct option_spec specs[SPEC_COUNT];
    struct options options;
    struct error err;
    char path[256];
};

static void fixture_init(struct fixture *f)
{
    struct sample *s = &f->sample;
    const struct option_spec specs[SPEC_COUNT] = {
        {"cache", OPTION_POSITIONAL, &s->cache, "CACHE", NULL, "the cache", .required = true},
        {"out", OPTION_STRING, &s->out, "RUN", "run", "where results go"},
        {"feature", OPTION_LIST, &s->features, "TENSOR", NULL, "a tensor to record"},
        {"resume", OPTION_FLAG, &s->resume, NULL, NULL, "continue"},
        {"epochs", OPTION_INT, &s->epochs, "N", "100", "passes", .letter = 'n', .minimum = 1, .maximum = 1000},
        {"seed", OPTION_UINT64, &s->seed, "N", "1", "seed"},
        {"lr", OPTION_FLOAT, &s->rate, "X", "1e-3", "learning rate", .minimum = 0, .maximum = 10},
        {"mean", OPTION_FLOATS, s->mean, "A,B,C", "0.485,0.456,0.406", "mean", .length = 3},
        {"memory", OPTION_SIZE, &s->memory, "SIZE", "2G", "budget"},
        {"on-bad-image", OPTION_CHOICE, &s->on_bad, NULL, "fail", "what to do", .choices = bad_image_choices},
    };
    memset(f, 0, sizeof *f);
    memcpy(f->specs, specs, sizeof specs);
    f->options =
        (struct options){.command = "student_train fit", .summary = "Trains.", .specs = f->specs, .count = SPEC_COUNT};
}

/* Parses the arguments after "fit"; the list ends with NULL. */
static enum status parse(struct fixture *f, ...)
{
    char *argv[32] = {(char *)"fit"};
    int argc = 1;
    va_list arguments;
    fixture_init(f);
    va_start(arguments, f);
    for (char *argument; (argument = va_arg(arguments, char *)) != NULL;)
        argv[argc++] = argument;
    va_end(arguments);
    return options_parse(&f->options, argc, argv, &f->err);
}

/* Writes configuration text to a new file and parses with --config and one more argument (NULL: none). */
static enum status parse_config(struct fixture *f, const char *text, const char *more)
{
    char *folder = temporary_folder(), *path = path_join(folder, "options.ini");
    write_file(folder, "options.ini", text, strlen(text));
    const enum status status = parse(f, "--config", path, "c", more, NULL);
    snprintf(f->path, sizeof f->path, "%s", path);
    remove_folder(folder);
    free(folder);
    free(path);
    return status;
}

#define assert_fails(f, expected, part)                              \
    do {                                                             \
        assert_int_equal((f)->err.code, expected);                   \
        if (!strstr((f)->err.message, part))                         \
            fail_msg("'%s' is not in '%s'", part, (f)->err.message); \
        options_release(&(f)->options);                              \
    } while (0)

static void reads_every_type(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "--epochs", "7", "--seed=18446744073709551615", "--lr=-0", "--mean", "0.5,-1,2e-1",
                           "the cache", "--memory=512M", "--feature", "a", "--feature=b=c", "--resume",
                           "--on-bad-image", "skip", NULL),
                     STATUS_OK);
    assert_string_equal(f.sample.cache, "the cache");
    assert_string_equal(f.sample.out, "run");
    assert_int_equal(f.sample.epochs, 7);
    assert_true(f.sample.seed == UINT64_MAX);
    assert_true(f.sample.memory == 512u << 20);
    assert_true(f.sample.mean[0] == 0.5 && f.sample.mean[1] == -1 && f.sample.mean[2] == 0.2);
    assert_int_equal(f.sample.features.count, 2);
    assert_string_equal(f.sample.features.items[0], "a");
    assert_string_equal(f.sample.features.items[1], "b=c");
    assert_true(f.sample.resume);
    assert_int_equal(f.sample.on_bad, 1);
    assert_true(options_given(&f.options, "epochs"));
    assert_false(options_given(&f.options, "out"));
    options_release(&f.options);
}

static void defaults_and_negation(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "c", "--resume=false", "-n", "3", NULL), STATUS_OK);
    assert_false(f.sample.resume);
    assert_int_equal(f.sample.epochs, 3);
    assert_true(f.sample.rate == 1e-3 && f.sample.memory == (uint64_t)2 << 30);
    assert_int_equal(f.sample.features.count, 0);
    options_release(&f.options);
    assert_int_equal(parse(&f, "--", "--odd-name", NULL), STATUS_OK);
    assert_string_equal(f.sample.cache, "--odd-name");
    options_release(&f.options);
}

static void refuses_bad_command_lines(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *message;
    } cases[] = {
        {"--epoch", "3", "unknown option --epoch; did you mean --epochs?"},
        {"--zzzzzzzzzz", "3", "unknown option --zzzzzzzzzz; see student_train fit --help"},
        {"-x", NULL, "unknown option -x"},
        {"--epochs", NULL, "--epochs needs a value"},
        {"--out", "--epochs", "--out needs a value"},
        {"--config", NULL, "--config needs a value"},
        {"--epochs", "3x", "--epochs: '3x' is not a whole number"},
        {"--epochs", " 3", "is not a whole number"},
        {"--epochs", "99999999999999999999", "is not a whole number"},
        {"--epochs", "0", "--epochs: '0' is not between 1 and 1000"},
        {"--epochs", "1001", "is not between 1 and 1000"},
        {"--epochs=", NULL, "--epochs: '' is not a whole number"},
        {"--seed", "-1", "is not a whole number from 0"},
        {"--seed", "18446744073709551616", "is not a whole number from 0"},
        {"--lr", "nan", "is not a number"},
        {"--lr", "inf", "is not a number"},
        {"--lr", "1e999", "is not a number"},
        {"--lr", "0x1p3", "is not a number"},
        {"--lr", "1,5", "is not a number"},
        {"--mean", "1,2", "is not 3 numbers"},
        {"--mean", "1,2,3,4", "is not 3 numbers"},
        {"--mean", "1,,3", "is not 3 numbers"},
        {"--memory", "2X", "is not a size"},
        {"--memory", "2GB", "is not a size"},
        {"--memory", "99999999999T", "is not a size"},
        {"--on-bad-image", "skp", "is not one of fail, skip; did you mean 'skip'?"},
        {"--resume=yes", NULL, "is not true or false"},
        {"--out=a", "--out=b", "--out is given twice"},
        {"--out=a\nb", NULL, "has a line break"},
        {"--cache", "x", "CACHE is given by its place on the command line: omit --cache"},
        {"second", NULL, "unexpected argument 'second'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, "c", cases[i].first, cases[i].second, NULL), STATUS_USAGE);
        assert_fails(&f, STATUS_USAGE, cases[i].message);
    }
    struct fixture f;
    assert_int_equal(parse(&f, "--epochs", "3", NULL), STATUS_USAGE);
    assert_fails(&f, STATUS_USAGE, "CACHE is missing");
}

static void command_line_wins_over_config(void **state)
{
    (void)state;
    struct fixture f;
    static const char text[] =
        "\xef\xbb\xbf# comment\n; more\n\n out = r ; not a comment \r\n[fit]\nepochs = 9\nlr=0.5\n"
        "feature = a\nfeature = \" b \"\nresume = true";
    assert_int_equal(parse_config(&f, text, "--epochs=4"), STATUS_OK);
    assert_string_equal(f.sample.out, "r ; not a comment");
    assert_int_equal(f.sample.epochs, 4);
    assert_true(f.sample.rate == 0.5 && f.sample.resume);
    assert_int_equal(f.sample.features.count, 2);
    assert_string_equal(f.sample.features.items[1], " b ");
    options_release(&f.options);
    assert_int_equal(parse_config(&f, text, "--feature=only"), STATUS_OK);
    assert_int_equal(f.sample.features.count, 1);
    options_release(&f.options);
}

/* One file for several commands: each reads its own section and the keys before the first section. */
static void other_commands_sections_are_passed_over(void **state)
{
    (void)state;
    struct fixture f;
    static const char text[] = "lr = 0.5\n[teacher_dump run]\nviews = 8\nepochs = 1\n[student_train fit]\nepochs = 9\n"
                               "[student_train sweep]\nepochs = 7\ngrid = T=1:10\n";
    assert_int_equal(parse_config(&f, text, NULL), STATUS_OK);
    assert_int_equal(f.sample.epochs, 9);
    assert_true(f.sample.rate == 0.5);
    options_release(&f.options);
    assert_int_equal(parse_config(&f, "[teacher_dump run]\nviews = 8\n", NULL), STATUS_CONFIG);
    assert_fails(&f, STATUS_CONFIG, "has no options for this command: section [student_train fit] is missing");
}

static void refuses_bad_configs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        int line;
    } cases[] = {
        {"out = a\nepocs = 3\n", "unknown key epocs; did you mean epochs?", 2},
        {"epochs = many\n", "--epochs: 'many' is not a whole number", 1},
        {"\n\nepochs\n", "expected 'key = value'", 3},
        {"= 3\n", "expected 'key = value'", 1},
        {"[fit\n", "a section must be written as [name]", 1},
        {"[sweep]\nepochs = 3\n", "unknown section [sweep]: 'student_train fit' reads [fit]", 2},
        {"out = a\n[student_train fti]\nepochs = 3\n", "reads [fit]; the sections are [teacher_dump run], [", 3},
        {"out = a\nout = b\n", "--out is given twice", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        char place[320];
        assert_int_equal(parse_config(&f, cases[i].text, NULL), STATUS_CONFIG);
        snprintf(place, sizeof place, "%s:%d", f.path, cases[i].line);
        assert_string_equal(f.err.path, place);
        assert_fails(&f, STATUS_CONFIG, cases[i].message);
    }
    struct fixture f;
    assert_int_equal(parse(&f, "c", "--config", "/nonexistent.ini", NULL), STATUS_NO_INPUT);
    options_release(&f.options);
}

static void resolved_reads_back(void **state)
{
    (void)state;
    struct fixture f, again;
    assert_int_equal(parse(&f, "c d", "--feature", "\"x\"", "--feature= y", "--lr", "0.25", "--out", "", NULL),
                     STATUS_OK);
    char *text = options_resolved(&f.options);
    assert_non_null(text);
    assert_string_equal(
        text, "[fit]\ncache = c d\nout = \nfeature = \"\"x\"\"\nfeature = \" y\"\nresume = false\nepochs = 100\n"
              "seed = 1\nlr = 0.25\nmean = 0.485,0.456,0.406\nmemory = 2G\non-bad-image = fail\n");
    assert_int_equal(parse_config(&again, text, NULL), STATUS_OK);
    assert_string_equal(again.sample.features.items[0], "\"x\"");
    assert_string_equal(again.sample.features.items[1], " y");
    assert_string_equal(again.sample.out, "");
    free(text);
    options_release(&f.options);
    options_release(&again.options);
}

static void help_comes_from_the_table(void **state)
{
    (void)state;
    struct fixture f;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(parse(&f, "--unknown", "--help", NULL), STATUS_OK);
    assert_true(f.options.help);
    FILE *out = open_memstream(&text, &size);
    options_print_help(&f.options, out);
    fclose(out);
    assert_non_null(strstr(text, "usage: student_train fit CACHE [options]\n"));
    assert_non_null(strstr(text, "  --epochs N, -n            passes [100]\n"));
    assert_non_null(strstr(text, "  --on-bad-image fail|skip  what to do [fail]\n"));
    assert_non_null(strstr(text, "  --feature TENSOR          a tensor to record; may be repeated\n"));
    assert_non_null(strstr(text, "  --config FILE "));
    free(text);
    options_release(&f.options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(defaults_and_negation),
        cmocka_unit_test(refuses_bad_command_lines),
        cmocka_unit_test(command_line_wins_over_config),
        cmocka_unit_test(other_commands_sections_are_passed_over),
        cmocka_unit_test(refuses_bad_configs),
        cmocka_unit_test(resolved_reads_back),
        cmocka_unit_test(help_comes_from_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
