/* summary.csv, log.jsonl and the Kaggle file: exact text, resume after an interruption, refusals. */
#define _GNU_SOURCE
#include "formats/report/run_log.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <cJSON.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *const terms[] = {"ce", "kd(T=4, a)"};

static int make_folder(void **state)
{
    *state = temporary_folder();
    return 0;
}

static int drop_folder(void **state)
{
    remove_folder(*state);
    free(*state);
    return 0;
}

static char *read_text(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    unsigned char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    free(path);
    return (char *)bytes;
}

static void append_text(const char *folder, const char *name, const char *text)
{
    char *path = path_join(folder, name);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static struct run_epoch sample_epoch(int epoch)
{
    return (struct run_epoch){.epoch = epoch,
                              .learning_rate = 0.001,
                              .train_loss = 1.0 / epoch,
                              .terms = {0.5 / epoch, 1.0 / 3},
                              .train_accuracy = NAN,
                              .val_loss = 2.5,
                              .val_accuracy = 0.25 * epoch,
                              .agreement = 0.125,
                              .images_per_second = 100 + epoch,
                              .seconds = 1.5};
}

static void run_epochs(const char *folder, int first, int last)
{
    struct run_log *log = NULL;
    assert_int_equal(run_log_open(&log, folder, terms, 2, first, NULL), STATUS_OK);
    for (int epoch = first; epoch <= last; epoch++) {
        const struct run_epoch values = sample_epoch(epoch);
        assert_int_equal(run_log_epoch(log, &values, NULL), STATUS_OK);
    }
    assert_int_equal(run_log_sync(log, NULL), STATUS_OK);
    run_log_close(log);
}

static const char expected_summary[] =
    "epoch,train_loss,eval_loss,eval_top1,lr,train_top1,eval_agreement,loss_ce,loss_kd(T=4; a)\n"
    "1,1,2.5,25,0.001,,12.5,0.5,0.333333333\n"
    "2,0.5,2.5,50,0.001,,12.5,0.25,0.333333333\n"
    "3,0.333333333,2.5,75,0.001,,12.5,0.166666667,0.333333333\n";

static void writes_one_row_per_epoch(void **state)
{
    run_epochs(*state, 1, 3);
    char *text = read_text(*state, "summary.csv");
    assert_string_equal(text, expected_summary);
    free(text);
}

static void resumed_equals_uninterrupted(void **state)
{
    run_epochs(*state, 1, 2);
    append_text(*state, "summary.csv", "3,0.5,9,9"); /* a row that a crash cut short */
    append_text(*state, "log.jsonl", "{\"event\":\"ep");
    run_epochs(*state, 3, 3);
    char *text = read_text(*state, "summary.csv");
    assert_string_equal(text, expected_summary);
    free(text);
    run_epochs(*state, 2, 3); /* back to an earlier checkpoint */
    text = read_text(*state, "summary.csv");
    assert_string_equal(text, expected_summary);
    free(text);
    run_epochs(*state, 1, 1); /* anew */
    text = read_text(*state, "summary.csv");
    assert_null(strstr(text, "\n2,"));
    free(text);
}

static void earlier_epochs_come_back(void **state)
{
    struct run_log *log = NULL;
    int count = 0;
    run_epochs(*state, 1, 2);
    assert_int_equal(run_log_open(&log, *state, terms, 2, 3, NULL), STATUS_OK);
    const struct run_epoch *epochs = run_log_epochs(log, &count);
    assert_int_equal(count, 2);
    assert_int_equal(epochs[1].epoch, 2);
    assert_true(epochs[1].train_loss == 0.5 && epochs[1].terms[0] == 0.25 && epochs[1].agreement == 0.125);
    assert_true(epochs[1].val_accuracy == 0.5 && epochs[1].learning_rate == 0.001);
    assert_true(isnan(epochs[1].train_accuracy) && isnan(epochs[1].seconds));
    run_log_close(log);
}

static void refuses_what_does_not_continue(void **state)
{
    struct run_log *log = NULL;
    struct error err = {0};
    run_epochs(*state, 1, 2);
    assert_int_equal(run_log_open(&log, *state, terms, 2, 4, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "line 4 is not epoch 3"));
    assert_int_equal(run_log_open(&log, *state, terms, 1, 2, &(struct error){0}), STATUS_CONFIG);
    static const char *const bad_rows[] = {"3,a,1,1,1,1,1,1,1\n", "3,1,1,1,1,1,1,1\n",     "3,1,1,1,1,1,1,1,1,1\n",
                                           "4,1,1,1,1,1,1,1,1\n", "\n3,1,1,1,1,1,1,1,1\n", "3,1, \n1,1,1,1,1,1,1\n",
                                           "3,1,1,1,1,1,1,1,1"};
    for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
        run_epochs(*state, 1, 2);
        append_text(*state, "summary.csv", bad_rows[i]);
        assert_int_equal(run_log_open(&log, *state, terms, 2, 4, &(struct error){0}), STATUS_BAD_DATA);
        assert_null(log);
    }
}

static void events_are_json_lines(void **state)
{
    struct run_log *log = NULL;
    run_epochs(*state, 1, 1);
    append_text(*state, "log.jsonl", "cut");
    assert_int_equal(run_log_open(&log, *state, terms, 2, 2, NULL), STATUS_OK);
    const struct run_field fields[] = {{"note", "a \"quoted\"\nline", 0}, {"value", NULL, 0.1}, {"missing", NULL, NAN}};
    assert_int_equal(run_log_event(log, "resume", fields, 3, NULL), STATUS_OK);
    run_log_close(log);
    char *text = read_text(*state, "log.jsonl"), *rest = text;
    cJSON *epoch = cJSON_Parse(strsep(&rest, "\n"));
    assert_string_equal(strsep(&rest, "\n"), "cut");
    cJSON *resume = cJSON_Parse(strsep(&rest, "\n"));
    assert_string_equal(rest, "");
    assert_string_equal(cJSON_GetObjectItem(epoch, "event")->valuestring, "epoch");
    assert_true(cJSON_GetObjectItem(epoch, "images_per_second")->valuedouble == 101);
    assert_true(cJSON_GetObjectItem(epoch, "loss_ce")->valuedouble == 0.5);
    assert_string_equal(cJSON_GetObjectItem(resume, "note")->valuestring, "a \"quoted\"\nline");
    assert_true(cJSON_GetObjectItem(resume, "value")->valuedouble == 0.1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(resume, "missing")));
    assert_int_equal(strlen(cJSON_GetObjectItem(resume, "time")->valuestring), 20);
    cJSON_Delete(epoch);
    cJSON_Delete(resume);
    free(text);
}

/* A limit on the size of files stands for a disk that fills up. */
static void full_disk_is_reported(void **state)
{
    struct run_log *log = NULL;
    struct error err = {0};
    const struct run_epoch values = sample_epoch(1);
    struct rlimit before, limit;
    char *path = path_join(*state, "summary.csv");
    assert_int_equal(run_log_open(&log, *state, terms, 2, 1, &err), STATUS_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum status status = run_log_epoch(log, &values, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_IO);
    assert_string_equal(err.path, path);
    run_log_close(log);
    free(path);
}

/* A run's folder that came from somebody else may hold links. */
static void links_are_not_followed(void **state)
{
    static const char *const names[] = {"summary.csv", "log.jsonl"};
    for (int i = 0; i < 2; i++) {
        struct run_log *log = NULL;
        struct error err = {0};
        char *path = path_join(*state, names[i]), *victim = path_join(*state, "victim");
        FILE *file = fopen(victim, "w");
        fputs("precious", file);
        fclose(file);
        assert_int_equal(symlink(victim, path), 0);
        assert_int_equal(run_log_open(&log, *state, terms, 2, 1, &err), STATUS_CANT_CREATE);
        assert_string_equal(err.path, path);
        char *text = read_text(*state, "victim");
        assert_string_equal(text, "precious");
        assert_int_equal(unlink(path), 0);
        free(text);
        free(path);
        free(victim);
    }
}

int main(void)
{
#define in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {
        in_folder(writes_one_row_per_epoch), in_folder(resumed_equals_uninterrupted),
        in_folder(earlier_epochs_come_back), in_folder(refuses_what_does_not_continue),
        in_folder(events_are_json_lines),    in_folder(full_disk_is_reported),
        in_folder(links_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
