/* Lets one call of the code under test fail: an allocation, a system call on files, or a function of another library.
 * A program that links this wraps the calls of our own objects (the Makefile's FAILING_CALLS); calls that other
 * libraries make are left alone. */
#ifndef TESTS_HELPER_FAILING_CALLS_H
#define TESTS_HELPER_FAILING_CALLS_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum call_kind {
    CALL_ALLOCATION, /* malloc and its kin, arenas, streams in memory: out of memory */
    CALL_FILE,       /* opening, reading, writing, renaming, ...: EIO */
    CALL_SIGNAL,     /* of those, what a signal can interrupt: EINTR */
    CALL_SHORT,      /* of those, reads and writes: half of the bytes */
    CALL_LIBRARY,    /* libhdf5, zstd, zlib, libpng: what they return when they failed (helper_failing_libraries.c) */
    CALL_DECODER,    /* those that read what others wrote: the data are damaged */
    CALL_KINDS,
    CALL_VANISHED = CALL_KINDS /* file calls: ENOENT, as after another process removed the file (attempt_vanishing) */
};

/* From now on, call number `at` (from 0) of this kind fails, once. */
void failing_calls_start(enum call_kind kind, long at);
/* Between these nothing fails and nothing is counted: what an attempt needs. */
void failing_calls_pause(void);
void failing_calls_resume(void);
/* For what wraps a function: whether this call of it, which returns to `caller`, must fail. */
bool failing_call(enum call_kind kind, const void *caller);
/* Ends that; whether a call has failed. *caller gets the place that it returned to. */
bool failing_calls_stop(const void **caller);

/* Objects of libhdf5 that our objects have opened and not closed: AddressSanitizer does not see them. */
long failing_calls_hdf5_objects(void);

/* The last test of a program: its attempts have made calls that allocate, of files and of libraries (otherwise nothing
 * is wrapped, or nothing was tried), and have left no object of libhdf5 open. */
void failing_calls_all_seen(void **state);

/* Does something with `what` and adds the result to *sum. */
typedef enum status attempt(const void *what, uint64_t *sum, struct error *err);
/* A sum over what an attempt has found, to compare. */
void attempt_add(uint64_t *sum, const void *bytes, size_t size);
/* Makes the attempt undisturbed, and then once for each of its calls, which fails (at most 1000 of a kind, in equal
 * steps). It must give the same result all the same, or an error of the right kind: STATUS_INTERNAL for allocations and
 * libraries, STATUS_IO for file calls, none where a call is interrupted or does half, STATUS_BAD_DATA for decoders
 * (STATUS_INTERNAL where they check what was just written). Other outcomes are printed, and are cmocka failures; so is
 * an attempt in which no allocation is seen. */
void attempt_all(attempt *run, const void *what, const char *name);
/* The same with at most `points` calls of a kind, for what takes long. */
void attempt_some(attempt *run, const void *what, const char *name, int points);
/* For thousands of attempts of one thread, which mostly do the same: only an allocation that is reached through other
 * calls (the innermost eight) than every one before it fails. An attempt that fails undisturbed may do so again. */
void attempt_new_ways(attempt *run, const void *what, const char *name);
/* Once for each file call, which finds nothing. Any error will do, but the result must be the same: for an attempt that
 * tries again, undisturbed, what failed. */
void attempt_vanishing(attempt *run, const void *what, const char *name);

#endif
