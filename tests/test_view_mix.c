/* Mixed views: partners and shares are pure functions with golden values and the promised distributions; the mixed
 * pixels are those of the reference. */
#include "shared/augment/view.h"

#include "shared/base/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static struct recipe parse(const char *text)
{
    struct recipe recipe;
    assert_int_equal(recipe_parse(&recipe, text, NULL), STATUS_OK);
    return recipe;
}

static void parameters_are_pure(void **state)
{
    const struct recipe recipe = parse("light+cutmix");
    struct view_mix first, again, other;
    uint32_t partner, partner_again, other_partner;
    (void)state;
    view_mix_make(&first, &partner, &recipe, 1, 7, 3, 5, 1000, 224, 224);
    view_mix_make(&again, &partner_again, &recipe, 1, 7, 3, 5, 1000, 224, 224);
    assert_memory_equal(&first, &again, sizeof first);
    assert_int_equal(partner, partner_again);
    for (int i = 0; i < 3; i++) { /* another seed, sample, view: another mix */
        view_mix_make(&other, &other_partner, &recipe, i == 0 ? 1ull << 40 | 1 : 1, i == 1 ? 8 : 7, i == 2 ? 4 : 3, 5,
                      1000, 224, 224);
        assert_memory_not_equal(&first, &other, sizeof first);
        assert_true(other_partner != partner);
    }
    /* the index only rotates the partners, and the transforms before make no difference */
    view_mix_make(&other, &other_partner, &recipe, 1, 7, 3, 999, 1000, 224, 224);
    assert_memory_equal(&first, &other, sizeof first);
    assert_int_equal(other_partner, (partner + 994) % 1000);
    const struct recipe longer = parse("food11-strong+erase+cutmix(alpha=1)");
    view_mix_make(&other, &other_partner, &longer, 1, 7, 3, 5, 1000, 224, 224);
    assert_memory_equal(&first, &other, sizeof first);
    assert_int_equal(other_partner, partner);
}

/* Mixing leaves the view's own parameters as they were. */
static void the_view_stays(void **state)
{
    const struct recipe without = parse("food11-strong+erase"),
                        with = parse("food11-strong+erase+mixup(0.4)+cutmix(p=0.5)");
    (void)state;
    assert_false(recipe_mixes(&without));
    assert_true(recipe_mixes(&with));
    for (uint32_t number = 0; number < 50; number++) {
        struct view a, b;
        view_make(&a, &without, 5, 6, number, 256, 300, 224, 160);
        view_make(&b, &with, 5, 6, number, 256, 300, 224, 160);
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void nothing_is_mixed_with_nothing(void **state)
{
    const struct recipe none = parse("none"), never = parse("mixup(p=0)"), always = parse("mixup(alpha=100)");
    const struct recipe *const recipes[] = {&none, &never, &always};
    (void)state;
    for (uint32_t id = 0; id < 100; id++) {
        for (size_t i = 0; i < 3; i++) {
            struct view_mix mix;
            uint32_t partner;
            view_mix_make(&mix, &partner, recipes[i], 1, id, 2, i == 2 ? 0 : 3, i == 2 ? 1 : 10, 32, 32);
            assert_int_equal(mix.kind, VIEW_MIX_NONE);
            assert_int_equal(mix.share, 65536);
            assert_int_equal(mix.w | mix.h, 0);
            assert_int_equal(partner, i == 2 ? 0 : 3);
        }
    }
}

/* Regularised incomplete beta function of (a, a) at x by the midpoint rule; below a = 1 over t = x * s^(1/a), which
 * removes the pole of the density. */
static double beta_distribution(double a, double x)
{
    enum { STEPS = 2000 };
    double sum = 0, density = exp(lgamma(2 * a) - 2 * lgamma(a));
    if (x > 0.5)
        return 1 - beta_distribution(a, 1 - x);
    for (int i = 0; i < STEPS; i++) {
        double s = (i + 0.5) / STEPS;
        sum += a < 1 ? pow(x, a) / a * pow(1 - x * pow(s, 1 / a), a - 1) : x * pow(x * s * (1 - x * s), a - 1);
    }
    return density * sum / STEPS;
}

/* Shares of mixup against Beta(alpha, alpha) at every tenth: within 4 standard deviations of a count. */
static void shares_are_beta(void **state)
{
    static const double alphas[] = {0.01, 0.2, 0.5, 1, 2, 8, 100};
    enum { VIEWS = 20000, COUNT = 50 };
    (void)state;
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
        struct recipe recipe = parse("mixup");
        int below[11] = {0};
        recipe.transforms[0].alpha = (float)alphas[k];
        for (uint32_t i = 0; i < VIEWS; i++) {
            struct view_mix mix;
            uint32_t partner;
            view_mix_make(&mix, &partner, &recipe, k, i / 4, i % 4, i / 4 % COUNT, COUNT, 32, 32);
            assert_in_range(mix.share, 0, 65536);
            for (int tenth = 1; tenth < 10; tenth++)
                below[tenth] += mix.share < tenth * 6553.6;
        }
        for (int tenth = 1; tenth < 10; tenth++) {
            double p = beta_distribution(alphas[k], tenth / 10.0), deviation = sqrt(p * (1 - p) / VIEWS);
            if (fabs((double)below[tenth] / VIEWS - p) > 4 * deviation + 1e-4)
                fail_msg("alpha %g: %.4f of the shares are below %.1f, not %.4f", alphas[k],
                         (double)below[tenth] / VIEWS, tenth / 10.0, p);
        }
    }
}

static void partners_are_all_the_others(void **state)
{
    const struct recipe recipe = parse("mixup(alpha=1)");
    enum { VIEWS = 20000, COUNT = 5 };
    int seen[COUNT][COUNT] = {{0}};
    (void)state;
    for (uint32_t i = 0; i < VIEWS; i++) {
        struct view_mix mix;
        uint32_t partner, index = i % COUNT;
        view_mix_make(&mix, &partner, &recipe, 3, i, 0, index, COUNT, 32, 32);
        assert_in_range(partner, 0, COUNT - 1);
        seen[index][partner] += mix.kind != VIEW_MIX_NONE;
        assert_true(mix.kind == VIEW_MIX_NONE || partner != index);
    }
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COUNT; k++)
            assert_true(i == k ? seen[i][k] == 0 : fabs((double)seen[i][k] / VIEWS - 1.0 / 20) < 0.007);
}

/* The box of torchvision's CutMix: centre uniform, area 1 - share before it is cut at the borders. */
static void boxes_are_cutmix(void **state)
{
    const struct recipe recipe = parse("cutmix");
    enum { VIEWS = 20000, CROP = 200 };
    double share = 0, inner = 0;
    int at_left = 0, at_bottom = 0, boxes = 0;
    (void)state;
    for (uint32_t i = 0; i < VIEWS; i++) {
        struct view_mix mix;
        uint32_t partner;
        view_mix_make(&mix, &partner, &recipe, 3, i, 0, 1, 9, CROP, CROP);
        share += (double)mix.share / 65536;
        if (mix.kind == VIEW_MIX_NONE)
            continue;
        assert_int_equal(mix.kind, VIEW_MIX_CUT);
        assert_true(mix.x >= 0 && mix.w > 0 && mix.x + mix.w <= CROP);
        assert_true(mix.y >= 0 && mix.h > 0 && mix.y + mix.h <= CROP);
        assert_true(fabs((double)mix.share / 65536 - (1 - mix.w * mix.h / (double)(CROP * CROP))) < 1e-5);
        boxes++;
        at_left += mix.x == 0;
        at_bottom += mix.y + mix.h == CROP;
        if (mix.x > 0 && mix.y > 0 && mix.x + mix.w < CROP && mix.y + mix.h < CROP) {
            assert_int_equal(mix.w, mix.h);
            inner++;
        }
    }
    /* with r = sqrt(1 - u) the side: E r = 2/3 and P(a side sticks out) = r/2; E[(1 - r)^2] = 1/6 stay inside;
     * the kept side has mean r - r^2/4 and the area its square */
    assert_true(fabs((double)boxes / VIEWS - 1) < 0.001);
    assert_true(fabs((double)at_left / VIEWS - 1.0 / 3) < 0.015);
    assert_true(fabs((double)at_bottom / VIEWS - 1.0 / 3) < 0.015);
    assert_true(fabs(inner / VIEWS - 1.0 / 6) < 0.015);
    assert_true(fabs(share / VIEWS - (1 - 77.0 / 240)) < 0.008);
}

/* Each view draws one of the two with equal chance and then its p. */
static void two_kinds_share_the_views(void **state)
{
    const struct recipe recipe = parse("mixup(alpha=1)+cutmix(p=0.5)");
    enum { VIEWS = 20000 };
    int kinds[3] = {0};
    (void)state;
    for (uint32_t i = 0; i < VIEWS; i++) {
        struct view_mix mix;
        uint32_t partner;
        view_mix_make(&mix, &partner, &recipe, 3, 1, i, 1, 9, 100, 100);
        kinds[mix.kind]++;
    }
    assert_true(fabs((double)kinds[VIEW_MIX_NONE] / VIEWS - 0.25) < 0.015);
    assert_true(fabs((double)kinds[VIEW_MIX_BLEND] / VIEWS - 0.5) < 0.015);
    assert_true(fabs((double)kinds[VIEW_MIX_CUT] / VIEWS - 0.25) < 0.015);
}

static void the_box_is_the_same_at_every_size(void **state)
{
    static const int sizes[] = {1, 16, 100, 128, 448};
    const struct recipe recipe = parse("cutmix");
    (void)state;
    for (uint32_t i = 0; i < 200; i++) {
        struct view_mix full, other;
        uint32_t partner, other_partner;
        view_mix_make(&full, &partner, &recipe, 3, i, 0, 1, 9, 224, 224);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            double grid = sizes[k] / 224.0;
            view_mix_make(&other, &other_partner, &recipe, 3, i, 0, 1, 9, 224, sizes[k]);
            assert_int_equal(other_partner, partner);
            assert_int_equal(other.share, full.share);
            assert_true(fabs(full.x * grid - other.x) <= 0.5 && fabs(full.y * grid - other.y) <= 0.5);
            assert_true(fabs((full.x + full.w) * grid - other.x - other.w) <= 0.5);
            assert_true(fabs((full.y + full.h) * grid - other.y - other.h) <= 0.5);
            assert_true(other.x + other.w <= sizes[k] && other.y + other.h <= sizes[k]);
        }
    }
}

/* If a value differs, caches of another version cannot be replayed, and AUGMENT_VERSION must change. */
static void golden_values_hold(void **state)
{
    static const struct {
        const char *recipe;
        uint64_t seed;
        uint32_t id, number, index, count;
        int crop, size;
        struct view_mix mix;
        uint32_t partner;
    } goldens[] = {
        {"mixup", 0u, 0, 0, 0, 2u, 224, 224, {1, 11669, 0, 0, 0, 0}, 1u},
        {"light+mixup(0.2)", 1u, 2, 3, 2, 1000u, 224, 224, {1, 1172, 0, 0, 0, 0}, 10u},
        {"mixup(alpha=1)", 12345678901234567890u, 49999, 15, 49998, 50000u, 32, 32, {1, 59376, 0, 0, 0, 0}, 24606u},
        {"mixup(alpha=100)", 3u, 4, 5, 6, 7u, 8, 9, {1, 35963, 0, 0, 0, 0}, 2u},
        {"cutmix", 1u, 2, 3, 2, 1000u, 224, 224, {2, 37305, 117, 11, 107, 202}, 10u},
        {"cutmix", 1u, 2, 3, 2, 1000u, 224, 128, {2, 37305, 67, 6, 61, 116}, 10u},
        {"cutmix(alpha=0.3)", 7u, 8, 9, 0, 4000000000u, 4096, 4096, {2, 61620, 848, 3166, 1078, 930}, 3619291043u},
        {"mixup+cutmix", 5u, 1, 0, 1, 10u, 100, 100, {2, 32086, 42, 6, 58, 88}, 2u},
        {"mixup+cutmix", 5u, 1, 1, 1, 10u, 100, 100, {2, 58825, 59, 0, 32, 32}, 2u},
        {"mixup(p=0.5)", 5u, 4, 1, 1, 10u, 100, 100, {1, 40, 0, 0, 0, 0}, 8u},
    };
    bool differ = false;
    (void)state;
    assert_int_equal(AUGMENT_VERSION, 1);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const struct recipe recipe = parse(goldens[i].recipe);
        struct view_mix mix;
        uint32_t partner;
        view_mix_make(&mix, &partner, &recipe, goldens[i].seed, goldens[i].id, goldens[i].number, goldens[i].index,
                      goldens[i].count, goldens[i].crop, goldens[i].size);
        if (memcmp(&mix, &goldens[i].mix, sizeof mix) == 0 && partner == goldens[i].partner)
            continue;
        differ = true;
        print_error("{\"%s\", %lluu, %u, %u, %u, %uu, %d, %d, {%d, %d, %d, %d, %d, %d}, %uu},\n", goldens[i].recipe,
                    (unsigned long long)goldens[i].seed, goldens[i].id, goldens[i].number, goldens[i].index,
                    goldens[i].count, goldens[i].crop, goldens[i].size, mix.kind, mix.share, mix.x, mix.y, mix.w, mix.h,
                    partner);
    }
    assert_false(differ);
}

static void pixels_are_the_references(void **state)
{
    enum { SIZE = 19, GUARD = 8, BYTES = SIZE * SIZE * 3 };
    static const struct view_mix mixes[] = {
        {VIEW_MIX_NONE, 65536, 0, 0, 0, 0}, {VIEW_MIX_BLEND, 0, 0, 0, 0, 0},     {VIEW_MIX_BLEND, 65535, 0, 0, 0, 0},
        {VIEW_MIX_BLEND, 1, 0, 0, 0, 0},    {VIEW_MIX_BLEND, 32768, 0, 0, 0, 0}, {VIEW_MIX_BLEND, 47123, 0, 0, 0, 0},
        {VIEW_MIX_CUT, 1000, 0, 0, 19, 19}, {VIEW_MIX_CUT, 1000, 3, 5, 7, 14},   {VIEW_MIX_CUT, 65000, 18, 18, 1, 1},
        {VIEW_MIX_CUT, 65000, 4, 4, 0, 3},  {VIEW_MIX_CUT, 65000, 19, 4, 0, 3},
    };
    struct random_stream stream;
    (void)state;
    random_stream_init(&stream, 1, RANDOM_INIT, 0, 0);
    for (size_t i = 0; i < 2 * sizeof mixes / sizeof *mixes; i++) {
        const struct view_mix *mix = &mixes[i / 2];
        const int channels = i % 2 ? 3 : 1;
        uint8_t p[BYTES + GUARD], q[BYTES], reference[BYTES + GUARD];
        for (int k = 0; k < BYTES + GUARD; k++)
            p[k] = reference[k] = (uint8_t)random_u32(&stream);
        for (int k = 0; k < BYTES; k++)
            q[k] = k % 7 == 0 ? 255 : (uint8_t)random_u32(&stream);
        view_mix_reference(mix, SIZE, channels, reference, q);
        view_mix_pixels(mix, SIZE, channels, p, q);
        assert_memory_equal(p, reference, sizeof p);
    }
}

static void descriptions_say_the_partner(void **state)
{
    const struct view_mix none = {VIEW_MIX_NONE, 65536, 0, 0, 0, 0}, blend = {VIEW_MIX_BLEND, 49152, 0, 0, 0, 0},
                          box = {VIEW_MIX_CUT, 32768, 1, 2, 3, 4};
    char text[100];
    (void)state;
    view_mix_describe(&none, 5, text, sizeof text);
    assert_string_equal(text, "");
    view_mix_describe(&blend, 5, text, sizeof text);
    assert_string_equal(text, "  mixup 0.7500 with sample 5");
    view_mix_describe(&box, 5, text, sizeof text);
    assert_string_equal(text, "  cutmix 0.5000, 3x4 at (1, 2) of sample 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_pure),
        cmocka_unit_test(the_view_stays),
        cmocka_unit_test(nothing_is_mixed_with_nothing),
        cmocka_unit_test(shares_are_beta),
        cmocka_unit_test(partners_are_all_the_others),
        cmocka_unit_test(boxes_are_cutmix),
        cmocka_unit_test(two_kinds_share_the_views),
        cmocka_unit_test(the_box_is_the_same_at_every_size),
        cmocka_unit_test(golden_values_hold),
        cmocka_unit_test(pixels_are_the_references),
        cmocka_unit_test(descriptions_say_the_partner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
