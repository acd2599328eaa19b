/* A cache's features as a data set has them on the device: the values of every sample and view, in the order that the
 * losses read. */
#include "shared/base/interrupt.h"
#include "shared/tensor/half.h"
#include "student_train/trainer/dataset.h"
#include "tests/helper_cache.h"
#include "tests/helper_device.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAP = 36, EVERY_NTH = 37 }; /* elements of the helper's largest feature; samples that are compared */

/* Two shards; a shard of "map" as fp16 is more than what is uploaded at once. */
static const struct cache_plan plan = {
    .classes = 3, .views = 8, .samples = {CACHE_SHARD_SAMPLES + 60, 4, 0}, .raw = true, .seed = 5, .features = true};

struct fixture {
    char *folder;
    struct cache cache;
    struct test_device t;
    struct compute compute;
    struct dataset dataset;
    struct progress progress;
};

static struct fixture open_fixture(const char *backend)
{
    struct fixture f = {.folder = temporary_folder()};
    assert_int_equal(plan_write(&plan, f.folder, 1 << 20), 0);
    assert_int_equal(cache_open(&f.cache, f.folder, NULL), STATUS_OK);
    f.t = test_device_open(backend, 2);
    f.compute = (struct compute){.backend = f.t.backend, .device = f.t.device};
    assert_int_equal(thread_pool_new(&f.compute.pool, 2, NULL), STATUS_OK);
    progress_init(&f.progress, NULL, true);
    return f;
}

static void load(struct fixture *f)
{
    struct error err = {0};
    test_must(dataset_load(&f->dataset, &f->cache, SPLIT_TRAIN, DATASET_TRAINING, 4, &f->compute, &f->progress, &err),
              &err);
}

static void close_fixture(struct fixture *f)
{
    dataset_release(&f->dataset);
    thread_pool_free(f->compute.pool);
    test_device_close(&f->t);
    cache_release(&f->cache);
    remove_folder(f->folder);
    free(f->folder);
}

/* Values of a store in host memory. */
struct copy {
    const struct feature_store *store;
    void *values;
    float *scales;
};

static struct copy copy_of(const struct fixture *f, int index)
{
    const struct cache_feature *feature = &f->cache.manifest.features[index];
    const struct feature_store *store = &f->dataset.features[index];
    const size_t rows = (size_t)f->dataset.count * (size_t)store->views;
    struct copy copy = {.store = store};
    assert_int_equal(store->dtype, feature->form == FEATURE_INT8 ? DTYPE_INT8 : DTYPE_FP16);
    assert_int_equal(store->views, feature->views);
    assert_true(store->channels == feature->c && store->h == feature->h && store->w == feature->w);
    assert_non_null(store->values);
    size_t bytes = rows * cache_feature_count(feature) * (store->dtype == DTYPE_INT8 ? 1 : 2);
    copy.values = malloc(bytes);
    test_device_download(&f->t, copy.values, store->values, bytes);
    assert_true((store->scales != NULL) == (store->dtype == DTYPE_INT8));
    if (store->scales) {
        copy.scales = malloc(rows * (size_t)store->channels * sizeof(float));
        test_device_download(&f->t, copy.scales, store->scales, rows * (size_t)store->channels * sizeof(float));
    }
    return copy;
}

static float value_of(const struct copy *copy, size_t sample, int view, int channel, int pixel)
{
    const struct feature_store *store = copy->store;
    const size_t row = sample * (size_t)store->views + (size_t)view, channels = (size_t)store->channels;
    const size_t at = (row * (size_t)(store->h * store->w) + (size_t)pixel) * channels + (size_t)channel;
    if (store->dtype == DTYPE_INT8)
        return (float)((const int8_t *)copy->values)[at] * copy->scales[row * channels + (size_t)channel];
    return half_to_float(((const uint16_t *)copy->values)[at]);
}

/* Every feature's values are those that the cache's own reader gives. */
static void values_are_the_caches(void **state)
{
    const bool all[CACHE_MAX_FEATURES] = {true, true, true, true};
    struct fixture f = open_fixture(*state);
    struct copy copies[4];
    struct error err = {0};
    float value[MAP];
    load(&f);
    assert_true(f.dataset.shard_count > 1);
    test_must(dataset_load_features(&f.dataset, all, &f.progress, &err), &err);
    for (int i = 0; i < 4; i++)
        copies[i] = copy_of(&f, i);
    for (int s = 0; s < f.dataset.shard_count; s++) {
        struct cache_shard shard;
        assert_int_equal(cache_read_shard(&f.cache, SPLIT_TRAIN, s, CACHE_READ_FEATURES, &shard, NULL), STATUS_OK);
        for (uint32_t sample = 0; sample < shard.count; sample += EVERY_NTH) {
            for (int i = 0; i < 4; i++) {
                const struct cache_feature *feature = &f.cache.manifest.features[i];
                const int area = feature->h * feature->w;
                for (int view = 0; view < feature->views; view++) {
                    cache_feature_value(&f.cache.manifest, &shard, i, sample, view, value);
                    for (int k = 0; k < feature->c * area; k++)
                        assert_true(value_of(&copies[i], shard.first + sample, view, k / area, k % area) == value[k]);
                }
            }
        }
        cache_shard_release(&shard);
    }
    for (int i = 0; i < 4; i++) {
        free(copies[i].values);
        free(copies[i].scales);
    }
    close_fixture(&f);
}

static void only_what_is_wanted_is_loaded_once(void **state)
{
    bool wanted[CACHE_MAX_FEATURES] = {false};
    struct fixture f = open_fixture(*state);
    struct error err = {0};
    load(&f);
    assert_int_equal(dataset_load_features(&f.dataset, wanted, &f.progress, &err), STATUS_OK);
    assert_null(f.dataset.features[2].values);
    wanted[2] = true;
    test_must(dataset_load_features(&f.dataset, wanted, &f.progress, &err), &err);
    const void *values = f.dataset.features[2].values;
    assert_non_null(values);
    assert_null(f.dataset.features[0].values);
    wanted[0] = true;
    test_must(dataset_load_features(&f.dataset, wanted, &f.progress, &err), &err);
    assert_ptr_equal(f.dataset.features[2].values, values);
    assert_non_null(f.dataset.features[0].values);
    assert_null(f.dataset.features[1].values);
    dataset_free_features(&f.dataset);
    assert_null(f.dataset.features[0].values);
    close_fixture(&f);
}

/* Every 16th view of all that have the feature counts in it. */
static void knows_the_mean_square_of_features(void **state)
{
    static const bool all[CACHE_MAX_FEATURES] = {true, true, true, true};
    struct fixture f = open_fixture(*state);
    struct error err = {0};
    double squares[4] = {0}, counts[4] = {0};
    float value[MAP];
    load(&f);
    test_must(dataset_load_features(&f.dataset, all, &f.progress, &err), &err);
    for (int s = 0; s < f.dataset.shard_count; s++) {
        struct cache_shard shard;
        assert_int_equal(cache_read_shard(&f.cache, SPLIT_TRAIN, s, CACHE_READ_FEATURES, &shard, NULL), STATUS_OK);
        for (int i = 0; i < 4; i++) {
            const struct cache_feature *feature = &f.cache.manifest.features[i];
            for (uint32_t row = 0; row < shard.count * (uint32_t)feature->views; row++) {
                if ((shard.first * (size_t)feature->views + row) % 16 != 0)
                    continue;
                cache_feature_value(&f.cache.manifest, &shard, i, row / (uint32_t)feature->views,
                                    (int)(row % (uint32_t)feature->views), value);
                for (int k = 0; k < feature->c * feature->h * feature->w; k++, counts[i]++)
                    squares[i] += (double)value[k] * (double)value[k];
            }
        }
        cache_shard_release(&shard);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(squares[i] > 0);
        const double got = (double)f.dataset.features[i].mean_square, expected = squares[i] / counts[i];
        if (!(fabs(got - expected) <= 1e-6 * expected))
            fail_msg("feature %d: the mean square is %.9g, not %.9g", i, got, expected);
    }
    close_fixture(&f);
}

static void a_broken_shard_leaves_nothing(void **state)
{
    const bool wanted[CACHE_MAX_FEATURES] = {true, true};
    struct fixture f = open_fixture(*state);
    struct error err = {0};
    load(&f);
    struct cache_shard_entry *last = &f.cache.manifest.splits[SPLIT_TRAIN].shards[1];
    last->digest[0] = last->digest[0] == 'a' ? 'b' : 'a';
    assert_int_equal(dataset_load_features(&f.dataset, wanted, &f.progress, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.path, "train-00001.h5"));
    assert_null(f.dataset.features[0].values);
    assert_null(f.dataset.features[1].scales);
    close_fixture(&f);
}

/* The last test: an interrupt cannot be taken back. */
static void an_interrupt_leaves_nothing(void **state)
{
    const bool wanted[CACHE_MAX_FEATURES] = {false, true};
    struct fixture f = open_fixture(*state);
    struct error err = {0};
    load(&f);
    interrupt_install();
    raise(SIGINT);
    assert_int_equal(dataset_load_features(&f.dataset, wanted, &f.progress, &err), STATUS_INTERRUPTED);
    assert_null(f.dataset.features[1].values);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(values_are_the_caches),
        ON_EVERY_BACKEND(only_what_is_wanted_is_loaded_once),
        ON_EVERY_BACKEND(knows_the_mean_square_of_features),
        {"a_broken_shard_leaves_nothing", a_broken_shard_leaves_nothing, NULL, NULL, "cpu"},
        {"an_interrupt_leaves_nothing", an_interrupt_leaves_nothing, NULL, NULL, "cpu"},
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
