/* A checkpoint restores every vector and number; a damaged one is refused, whichever bit is damaged. */
#define _GNU_SOURCE
#include "formats/net/net_text.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "student_train/run/checkpoint.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char IDENTITY[] = "lr = 1e-3\nstudent = 0123\n";

struct fixture {
    struct compute compute;
    struct graph graph;
    struct loss_expression loss;
    struct trainer_options options;
    struct trainer trainer;
    char *folder, *path;
};

static void start(struct fixture *f, uint64_t seed)
{
    static const char text[] = "conv a 4 3x3\nbn\nrelu\ngap\nfc b classes\n";
    const struct net_text_options net = {"net", 3, 8, 5};
    f->options = (struct trainer_options){.batch = 2, .ema_decay = 0.9};
    assert_int_equal(compute_open(&f->compute, &(struct compute_options){.device = "cpu", .threads = 1}, NULL, NULL),
                     STATUS_OK);
    assert_int_equal(loss_expression_parse(&f->loss, "ce", NULL), STATUS_OK);
    assert_int_equal(net_text_parse(&f->graph, text, sizeof text - 1, &net, NULL), STATUS_OK);
    graph_initialise(&f->graph, seed);
    assert_int_equal(trainer_init(&f->trainer, &f->compute, &f->graph, &(struct trainer_student){.loss = &f->loss}, 1,
                                  &f->options, NULL, NULL),
                     STATUS_OK);
}

static void stop(struct fixture *f)
{
    trainer_release(&f->trainer);
    graph_release(&f->graph);
    compute_release(&f->compute);
}

static int setup(void **state)
{
    static struct fixture f;
    f.folder = temporary_folder();
    f.path = path_join(f.folder, "checkpoint");
    start(&f, 1);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    remove_folder(f->folder);
    free(f->folder);
    free(f->path);
    return 0;
}

/* The six vectors of a trainer. On the CPU, device memory is host memory. */
static float *vector(const struct trainer *trainer, int i, size_t *count)
{
    const struct plan *plan = &trainer->network.plan;
    float *const all[6] = {trainer->network.memory.parameters,
                           trainer->network.memory.state,
                           trainer->memory.first,
                           trainer->memory.second,
                           trainer->memory.average,
                           trainer->memory.average_state};
    *count = i == 1 || i == 5 ? plan->state_count : plan->parameter_count;
    return all[i];
}

static void everything_comes_back(void **state)
{
    struct fixture *f = *state, other = {0};
    struct progress_state kept = {.epoch = 7, .best = {{5, 0.1 + 0.2}}, .seconds = 1.5, .images = 12345678901};
    const struct compute *compute = f->trainer.compute;
    snprintf(kept.kernels, sizeof kept.kernels, "%s",
             compute->backend->device->arithmetic(compute->device, f->trainer.network.plan.dtype));
    struct progress_state got = {0};
    struct error err = {0};
    size_t count;
    for (int v = 0; v < 6; v++) {
        float *values = vector(&f->trainer, v, &count);
        for (size_t i = 0; i < count; i++)
            values[i] = (float)(v + 1) + (float)i / 128;
    }
    f->trainer.step = 4321;
    assert_int_equal(checkpoint_write(f->path, &f->trainer, &kept, IDENTITY, NULL), STATUS_OK);
    start(&other, 2);
    if (checkpoint_read(f->path, &other.trainer, &got, IDENTITY, false, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int v = 0; v < 6; v++) {
        const float *values = vector(&f->trainer, v, &count);
        assert_memory_equal(vector(&other.trainer, v, &count), values, count * sizeof(float));
    }
    assert_int_equal(other.trainer.step, 4321);
    assert_true(got.epoch == 7 && got.best[0].epoch == 5 && got.best[0].score == kept.best[0].score &&
                got.seconds == 1.5);
    assert_true(got.images == kept.images);
    assert_string_equal(got.kernels, kept.kernels);
    /* Written where something else computed: refused, or both are named from then on. */
    snprintf(got.kernels, sizeof got.kernels, "an older processor");
    assert_int_equal(checkpoint_write(f->path, &f->trainer, &got, IDENTITY, NULL), STATUS_OK);
    assert_int_equal(checkpoint_read(f->path, &other.trainer, &got, IDENTITY, false, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "computed by an older processor, and here is "));
    assert_int_equal(checkpoint_read(f->path, &other.trainer, &got, IDENTITY, true, NULL), STATUS_OK);
    assert_memory_equal(got.kernels, "an older processor + ", 21);
    assert_string_equal(got.kernels + 21, kept.kernels);
    assert_int_equal(checkpoint_write(f->path, &f->trainer, &kept, IDENTITY, NULL), STATUS_OK);
    stop(&other);
}

static void another_identity_is_refused(void **state)
{
    struct fixture *f = *state;
    struct progress_state got = {0};
    struct error err = {0};
    assert_int_equal(checkpoint_read(f->path, &f->trainer, &got, "lr = 2e-3\nstudent = 0123\n", false, &err),
                     STATUS_CONFIG);
    assert_non_null(strstr(err.message, "cannot resume: lr was 1e-3, now 2e-3"));
    err = (struct error){0};
    assert_int_equal(checkpoint_read(f->path, &f->trainer, &got, "lr = 1e-3\nseed = 1\n", false, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "started with 'student = 0123', now there is 'seed = 1'"));
    err = (struct error){0};
    assert_int_equal(checkpoint_read(f->path, &f->trainer, &got, "lr = 1e-3\n", false, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "started with 'student = 0123', now there is ''"));
}

static void damage_is_refused(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes;
    size_t size;
    assert_int_equal(file_read(f->path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    char *damaged = path_join(f->folder, "damaged");
    for (size_t i = 0; i < size; i += i < 2000 ? 1 : 97) {
        struct progress_state got = {0};
        bytes[i] ^= (unsigned char)(1 << (i % 8));
        write_file(f->folder, "damaged", bytes, size);
        if (checkpoint_read(damaged, &f->trainer, &got, IDENTITY, false, NULL) != STATUS_BAD_DATA)
            fail_msg("a flipped bit in byte %zu was not noticed", i);
        bytes[i] ^= (unsigned char)(1 << (i % 8));
    }
    for (size_t length = 0; length < size; length += 101) {
        struct progress_state got = {0};
        write_file(f->folder, "damaged", bytes, length);
        assert_int_equal(checkpoint_read(damaged, &f->trainer, &got, IDENTITY, false, NULL), STATUS_BAD_DATA);
    }
    free(bytes);
    free(damaged);
}

/* What its digest covers may still be nonsense: a count below zero is none. */
static void counts_below_zero_are_refused(void **state)
{
    struct fixture *f = *state;
    struct progress_state got = {0};
    struct error err = {0};
    unsigned char *bytes;
    size_t size;
    char digest[DIGEST_HEX_SIZE];
    assert_int_equal(file_read(f->path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    char *header = (char *)bytes + 8, *images = memmem(header, size - 8, "\"images\":\"12345678901\"", 22);
    assert_non_null(images);
    images[10] = '-';
    char *seal = header + (digest_find_seal(header, size - 8, "\"sha256\":\"") - header);
    digest_sealed(header, size - 8, seal, digest);
    memcpy(seal, digest, DIGEST_HEX_SIZE - 1);
    write_file(f->folder, "below", bytes, size);
    char *path = path_join(f->folder, "below");
    assert_int_equal(checkpoint_read(path, &f->trainer, &got, IDENTITY, false, &err), STATUS_BAD_DATA);
    assert_string_equal(err.message, "__metadata__.images: '-2345678901' is not a number in the allowed range");
    free(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(counts_below_zero_are_refused),
        cmocka_unit_test(another_identity_is_refused),
        cmocka_unit_test(damage_is_refused),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, setup, teardown);
}
