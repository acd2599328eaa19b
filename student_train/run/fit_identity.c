#define _POSIX_C_SOURCE 200809L
#include "student_train/run/fit_identity.h"

#include "shared/base/digest.h"
#include <stdlib.h>
#include <string.h>

/* Options that never change a result. */
#define EXECUTION_OPTIONS                                                                                         \
    "data", "device", "threads", "gpu-memory", "max-memory", "images", "keep-decoded", "quiet", "json", "resume", \
        "overwrite", "time-limit", "deterministic", "allow-mixed", "baseline"

#define SCHEDULE_OPTIONS                                                                                  \
    "lr", "min-lr", "schedule", "schedule-by", "warmup-epochs", "step-epochs", "gamma", "restart-epochs", \
        "restart-factor"

static bool is_listed(const char *name, size_t length, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == length && memcmp(*list, name, length) == 0)
            return true;
    return false;
}

/* The resolved options except some, followed by more text. malloc'ed; NULL when out of memory. */
static char *fingerprint(const struct options *table, const char *const *except, const char *more)
{
    char *resolved = options_resolved(table), *text = NULL;
    size_t size = 0;
    FILE *out = resolved ? open_memstream(&text, &size) : NULL;
    if (!out) {
        free(resolved);
        return NULL;
    }
    for (const char *line = resolved; *line;) {
        const size_t length = strcspn(line, "\n");
        if (*line != '[' && !is_listed(line, strcspn(line, " =\n"), except))
            fprintf(out, "%.*s\n", (int)length, line);
        line += length + (line[length] != 0);
    }
    fputs(more, out);
    free(resolved);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *fit_options_fingerprint(const struct options *table)
{
    static const char *const except[] = {EXECUTION_OPTIONS, "parallel", "part", NULL};
    return fingerprint(table, except, "");
}

char *fit_identity(const struct fit_options *options, const char *cache_digest, const char *student_digest,
                   const char *init_digest, bool resized)
{
    /* cache, student and init are there by their digests */
    static const char *const except[] = {EXECUTION_OPTIONS, "cache", "student", "init", "out", "name", NULL};
    char digests[4 * DIGEST_HEX_SIZE];
    snprintf(digests, sizeof digests, "cache = %s\nstudent = %s\ninit = %s\n%s", cache_digest, student_digest,
             init_digest, resized ? "evaluation = antialiased\n" : "");
    return fingerprint(&options->table, except, digests);
}

char *fit_hparams(const struct fit_options *options)
{
    static const char *const except[] = {EXECUTION_OPTIONS, "cache", "init", "out", "name", NULL};
    return fingerprint(&options->table, except, options->variables ? options->variables : "");
}

enum status fit_identity_check(const char *path, const char *before, const char *now, struct error *err)
{
    while (*before || *now) {
        const int a = (int)strcspn(before, "\n"), b = (int)strcspn(now, "\n");
        const int key = (int)strcspn(now, " \n");
        if (a != b || memcmp(before, now, (size_t)a) != 0) {
            if (a < key + 3 || b < key + 3 || memcmp(before, now, (size_t)key + 3) != 0)
                return error_set(err, STATUS_CONFIG, path,
                                 "cannot resume: it was started with '%.*s', now there is '%.*s'; use another --out", a,
                                 before, b, now);
            return error_set(err, STATUS_CONFIG, path, "cannot resume: %.*s was %.*s, now %.*s; use another --out", key,
                             now, a - key - 3, before + key + 3, b - key - 3, now + key + 3);
        }
        before += a + (before[a] != 0);
        now += b + (now[b] != 0);
    }
    return STATUS_OK;
}

/* Compares the values of an option, not how they were written: 1e-3 equals 0.001. */
static bool equal_values(const struct option_spec *a, const struct option_spec *b)
{
    switch (a->type) {
    case OPTION_STRING:
    case OPTION_POSITIONAL: {
        const char *p = *(const char *const *)a->target, *q = *(const char *const *)b->target;
        return p && q ? strcmp(p, q) == 0 : p == q;
    }
    case OPTION_FLAG:
        return *(const bool *)a->target == *(const bool *)b->target;
    case OPTION_INT:
    case OPTION_CHOICE:
        return *(const int *)a->target == *(const int *)b->target;
    case OPTION_UINT64:
    case OPTION_SIZE:
        return *(const uint64_t *)a->target == *(const uint64_t *)b->target;
    case OPTION_FLOAT:
        return *(const double *)a->target == *(const double *)b->target;
    case OPTION_LIST:
    case OPTION_FLOATS:
        break; /* fit has no such option */
    }
    return false;
}

bool fit_options_side_by_side(const struct fit_options *a, const struct fit_options *b)
{
    /* Structures and losses are compared by the caller, and a sweep has one cache. The schedule, patience and the seed
     * of weights and dropout are each student's own. */
    static const char *const may_differ[] = {
        EXECUTION_OPTIONS, SCHEDULE_OPTIONS,       "cache",    "student", "loss", "out", "init", "name", "seed",
        "max-params",      "max-activation-bytes", "patience", NULL};
    for (int i = 0; i < a->table.count; i++) {
        const struct option_spec *spec = &a->table.specs[i];
        if (!is_listed(spec->name, strlen(spec->name), may_differ) && !equal_values(spec, &b->table.specs[i]))
            return false;
    }
    return true;
}
