/* Every file of tests/corpus/NAME goes through the fuzz driver tests/fuzz_NAME.c, as libFuzzer would call it: what
 * fuzzing has reached, and what it has found, is tried by every `make test`, also under the sanitizers. The files are
 * what `make fuzz` keeps, minimised by scripts/fuzz_corpus.sh. */
#define _GNU_SOURCE
#include "shared/base/files.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Not all drivers have a start. */
#define DRIVER(name)                                    \
    int fuzz_##name(const uint8_t *bytes, size_t size); \
    int fuzz_##name##_start(int *argc, char ***argv) __attribute__((weak));
#include "fuzz_drivers.h"
#undef DRIVER

struct driver {
    const char *name;
    int (*run)(const uint8_t *bytes, size_t size);
    int (*start)(int *argc, char ***argv);
};

static char current[600]; /* the file that is read */

/* cmocka says which driver crashed, this says at which file. */
static struct sigaction before[NSIG];
static void name_file(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    sigaction(number, &before[number], NULL);
    const ssize_t told = write(STDERR_FILENO, current, strlen(current));
    (void)told; /* if nobody listens, it crashes all the same */
    raise(number);
}

static void watch_crashes(bool begin)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL};
    struct sigaction action = {.sa_sigaction = name_file, .sa_flags = SA_SIGINFO | SA_NODEFER};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], begin ? &action : &before[numbers[i]], begin ? &before[numbers[i]] : NULL);
}

static void replay_file(const struct driver *driver, const char *path)
{
    uint8_t *bytes;
    size_t size;
    struct error err;
    if (file_read(path, 1 << 20, &bytes, &size, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    snprintf(current, sizeof current, "%s: the driver crashes\n", path);
    uint8_t *exact = malloc(size ? size : 1); /* its own block, so that a sanitizer sees reads behind it */
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    free(bytes);
    driver->run(exact, size);
    free(exact);
}

static void corpus_is_read(void **state)
{
    const struct driver *driver = *state;
    char folder[128], path[512];
    int argc = 0, count = 0;
    char **argv = NULL;
    snprintf(folder, sizeof folder, "tests/corpus/%s", driver->name);
    DIR *stream = opendir(folder);
    if (!stream)
        fail_msg("%s: not there: scripts/fuzz_corpus.sh makes it of what make fuzz has kept", folder);
    watch_crashes(true);
    if (driver->start)
        driver->start(&argc, &argv);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        replay_file(driver, path);
        count++;
    }
    watch_crashes(false);
    closedir(stream);
    assert_true(count > 0);
}

int main(void)
{
#define DRIVER(name) {#name, fuzz_##name, fuzz_##name##_start},
    static struct driver drivers[] = {
#include "fuzz_drivers.h"
    };
#undef DRIVER
    enum { DRIVERS = sizeof drivers / sizeof *drivers };
    struct CMUnitTest tests[DRIVERS];
    for (size_t i = 0; i < DRIVERS; i++)
        tests[i] = (struct CMUnitTest){drivers[i].name, corpus_is_read, NULL, NULL, &drivers[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
