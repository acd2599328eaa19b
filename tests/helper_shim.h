/* For the tests of the execution shim (tests/shim): cmocka in C++, and checks that something aborts. */
#ifndef TESTS_HELPER_SHIM_H
#define TESTS_HELPER_SHIM_H

#include "shared/device/cuda/cuda_launch.cuh"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#if defined(__SANITIZE_ADDRESS__)
static const bool under_asan = true;
#else
static const bool under_asan = false;
#endif

/* Defined if UndefinedBehaviorSanitizer is linked; GCC has no macro for it. */
extern "C" void __ubsan_handle_type_mismatch_v1(void *, void *) __attribute__((weak));
static inline bool under_ubsan()
{
    return __ubsan_handle_type_mismatch_v1 != NULL;
}

#define assert_cuda(call) assert_int_equal(call, cudaSuccess)

/* Runs f in a child process. Fails unless it aborts and prints `message` and `place` (NULL: any place). */
static inline void assert_dies(void (*f)(void), const char *message, const char *place)
{
    char said[65536];
    size_t length = 0;
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL); /* cmocka's handler would continue */
        f();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    said[length] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status == 0 || !strstr(said, message) || (place && !strstr(said, place)))
        fail_msg("expected an abort with \"%s\" and \"%s\", got status %d and \"%s\"", message, place ? place : "",
                 status, said);
}

/* A device buffer with these contents. */
template <typename T> T *device_copy(const T *from, size_t count)
{
    T *memory;
    assert_cuda(cudaMalloc(&memory, count * sizeof(T)));
    if (from)
        assert_cuda(cudaMemcpy(memory, from, count * sizeof(T), cudaMemcpyHostToDevice));
    return memory;
}

/* Downloads the buffer, then frees it. */
template <typename T> void device_take(T *to, T *memory, size_t count)
{
    assert_cuda(cudaMemcpy(to, memory, count * sizeof(T), cudaMemcpyDeviceToHost));
    assert_cuda(cudaFree(memory));
}

#endif
