#define _POSIX_C_SOURCE 200809L
#include "shared/base/deadline.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A signal's, a dry run's: more are never set at once. */
enum { DEADLINES = 4 };

static struct deadline {
    const char *text; /* NULL: free */
    enum status code;
    struct timespec end; /* of CLOCK_MONOTONIC */
} deadlines[DEADLINES];

static timer_t timer;                   /* for the earliest of them, whose words, code and end these are: */
static const char *volatile last_words; /* NULL: none is set */
static atomic_int exit_code;
static struct timespec earliest;
static bool installed;

static bool is_earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Only what a signal handler may call. A signal that came while it was blocked may be of a deadline that has been taken
 * back or moved since; another comes when the earliest is due. */
static void give_up(int number)
{
    const char *text = last_words;
    struct timespec now;
    (void)number;
    if (!text || clock_gettime(CLOCK_MONOTONIC, &now) != 0 || is_earlier(&now, &earliest))
        return;
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(exit_code); /* nobody listens */
    _exit(exit_code);
}

void deadline_install(void)
{
    struct sigaction action = {.sa_handler = give_up, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    sigfillset(&action.sa_mask);
    installed = sigaction(SIGALRM, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
}

/* One thread at a time changes the table. It takes no signals meanwhile: their handlers would wait for it for ever. */
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void begin(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
        continue;
}

static void end(const sigset_t *before)
{
    struct itimerspec time = {.it_value = {0}}; /* never */
    const struct deadline *first = NULL;
    for (int i = 0; i < DEADLINES; i++)
        if (deadlines[i].text && (!first || is_earlier(&deadlines[i].end, &first->end)))
            first = &deadlines[i];
    last_words = first ? first->text : NULL;
    if (first) {
        earliest = first->end;
        exit_code = (int)first->code;
        time.it_value = first->end;
    }
    timer_settime(timer, TIMER_ABSTIME, &time, NULL);
    atomic_flag_clear_explicit(&busy, memory_order_release);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static struct deadline *find(const char *text)
{
    for (int i = 0; i < DEADLINES; i++)
        if (deadlines[i].text == text)
            return &deadlines[i];
    return NULL;
}

void deadline_set(int milliseconds, enum status code, const char *text)
{
    sigset_t before;
    if (!installed)
        return;
    begin(&before);
    struct deadline *deadline = find(text);
    if (!deadline)
        deadline = find(NULL);
    if (deadline) {
        *deadline = (struct deadline){.text = text, .code = code};
        clock_gettime(CLOCK_MONOTONIC, &deadline->end);
        const long nanoseconds = deadline->end.tv_nsec + (long)(milliseconds % 1000) * 1000000;
        deadline->end.tv_sec += milliseconds / 1000 + nanoseconds / 1000000000;
        deadline->end.tv_nsec = nanoseconds % 1000000000;
    }
    end(&before);
}

void deadline_clear(const char *text)
{
    sigset_t before;
    if (!installed)
        return;
    begin(&before);
    struct deadline *deadline = find(text);
    if (deadline)
        deadline->text = NULL;
    end(&before);
}
