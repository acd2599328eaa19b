#define _POSIX_C_SOURCE 200809L
#include "shared/base/deadline.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static timer_t timer;
static bool installed;
static const char *volatile last_words;
static volatile sig_atomic_t exit_code;

/* Only what a signal handler may call. */
static void give_up(int number)
{
    const char *text = last_words;
    (void)number;
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(exit_code); /* nobody listens */
    _exit(exit_code);
}

void deadline_install(void)
{
    struct sigaction action = {.sa_handler = give_up};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    sigfillset(&action.sa_mask);
    installed = sigaction(SIGALRM, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
}

void deadline_set(int milliseconds, enum status code, const char *text)
{
    const struct itimerspec time = {
        .it_value = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000}};
    struct itimerspec left;
    if (!installed || timer_gettime(timer, &left) != 0)
        return;
    const long long other = (long long)left.it_value.tv_sec * 1000 + left.it_value.tv_nsec / 1000000;
    if (other > 0 && other <= milliseconds)
        return;
    last_words = text;
    exit_code = (sig_atomic_t)code;
    timer_settime(timer, 0, &time, NULL);
}

void deadline_clear(const char *text)
{
    const struct itimerspec never = {.it_value = {0}};
    if (installed && last_words == text)
        timer_settime(timer, 0, &never, NULL);
}
