/* student_train sweep: a grid's runs equal the same runs of fit, alone or side by side; a killed sweep resumes. */
#define _GNU_SOURCE
#include "shared/base/files.h"
#include "student_train/run/fit_identity.h"
#include "student_train/sweep/sweep_grid.h"
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SWEEP "%s sweep --cache cache --student tiny.net --batch 16 --quiet --epochs 3 "
#define GRID "--loss '{1-alpha}*ce + {alpha}*kd(T={T})' --grid alpha=0.5:1:0.5 --grid T=2,8 --grid seed=0,7 "

static int parse(struct grid *grid, const char *const *texts, int count, struct error *err)
{
    static const struct option_spec specs[] = {{.name = "lr"}, {.name = "loss"}};
    const struct options options = {.specs = specs, .count = 2};
    const struct option_list list = {(const char **)(uintptr_t)texts, count};
    return (int)grid_parse(grid, &list, &options, err);
}

static void grids_are_read(void **state)
{
    (void)state;
    struct grid grid;
    char text[256];
    const char *const texts[] = {"lr=1e-3,3e-4", "alpha=0.1:1:0.1",
                                 "loss=ce,{1-alpha}*ce + {alpha}*kd(T=2, reduction=mean)"};
    assert_int_equal(parse(&grid, texts, 3, NULL), STATUS_OK);
    assert_int_equal(grid.cells, 2 * 10 * 2);
    assert_false(grid.keys[0].variable);
    assert_true(grid.keys[1].variable);
    assert_string_equal(grid_value(&grid, 39, 1), "1");
    assert_string_equal(grid_value(&grid, 5, 1), "0.3");
    assert_string_equal(grid_option(&grid, 39, "lr"), "3e-4");
    assert_null(grid_option(&grid, 0, "alpha"));
    assert_int_equal(grid_loss(&grid, 5, grid_option(&grid, 5, "loss"), text, sizeof text, NULL), STATUS_OK);
    assert_string_equal(text, "0.7*ce + 0.3*kd(T=2, reduction=mean)");
    grid_label(&grid, 0, text, sizeof text);
    assert_string_equal(text, "lr=1e-3, alpha=0.1, loss=ce");
    grid_release(&grid);
}

/* A label that is too long for its place ends with a whole character, of 1 to 4 bytes. */
static void labels_end_between_characters(void **state)
{
    (void)state;
    struct grid grid;
    char text[32];
    const char *const texts[] = {"student=aλ€😀.net"};
    static const size_t lengths[] = {8, 9, 9, 11, 11, 11, 14, 14, 14, 14, 18, 19}; /* in 9, 10, ... bytes */
    assert_int_equal(parse(&grid, texts, 1, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        grid_label(&grid, 0, text, 9 + i);
        assert_int_equal(strlen(text), lengths[i]);
        assert_memory_equal(text, "student=aλ€😀.net", lengths[i]);
    }
    grid_label(&grid, 0, text, sizeof text);
    assert_string_equal(text, "student=aλ€😀.net");
    grid_release(&grid);
}

static void bad_grids_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lr", "write KEY=VALUES"},       {"=3", "write KEY=VALUES"},
        {"lr=", "write KEY=VALUES"},      {"T=1:", "is not a range"},
        {"T=3:1", "is not a range"},      {"T=1:2:0", "is not a range"},
        {"T=1:2:-1", "is not a range"},   {"T=nan:2", "is not a range"},
        {"T=1,,2", "a value is missing"}, {"T=1:100000", "more than 1000 values"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grid grid;
        struct error err = {0};
        if (parse(&grid, &cases[i][0], 1, &err) != STATUS_USAGE || !strstr(err.message, cases[i][1]))
            fail_msg("'%s' gave %s", cases[i][0], err.message);
    }
}

/* Every option of fit with two values. equal: runs with different values cannot be trained side by side, because all
 * students share what the option sets. A new option needs a row here. */
static const struct {
    const char *name, *a, *b;
    bool equal;
} side_by_side_options[] = {
    {"cache", "cache", "cache2", false},
    {"data", "a", "b", false},
    {"student", "dwpw", "speed", false}, /* the sweep compares the structures themselves */
    {"loss", "ce", "kd", false},         /* and the terms */
    {"epochs", "3", "4", true},
    {"qat", "1", "2", true},
    {"out", "a", "b", false},
    {"batch", "16", "32", true},
    {"size", "0", "20", true},
    {"optimizer", "adam", "adamw", true},
    {"lr", "1e-3", "2e-3", false},
    {"weight-decay", "1e-5", "2e-5", true},
    {"decay", "all", "weights", true},
    {"momentum", "0.9", "0.8", true},
    {"nesterov", "false", "true", true},
    {"beta1", "0.9", "0.8", true},
    {"beta2", "0.999", "0.99", true},
    {"epsilon", "1e-8", "1e-7", true},
    {"grad-clip", "10", "0", true},
    {"schedule", "constant", "cosine", false},
    {"schedule-by", "epoch", "step", false},
    {"warmup-epochs", "0", "1", false},
    {"min-lr", "0", "1e-5", false},
    {"step-epochs", "30", "20", false},
    {"gamma", "0.1", "0.2", false},
    {"restart-epochs", "10", "20", false},
    {"restart-factor", "2", "3", false},
    {"ema", "0", "0.9", true},
    {"patience", "0", "2", false},
    {"eval-every", "1", "2", true},
    {"select-on", "all", "half", true},
    {"seed", "0", "1", false},
    {"order-seed", "-1", "1", true},
    {"order", "shuffle", "sequential", true},
    {"init", "a.safetensors", "b.safetensors", false},
    {"max-params", "60000", "0", false},
    {"max-activation-bytes", "64K", "1M", false},
    {"device", "auto", "cpu", false},
    {"threads", "0", "1", false},
    {"gpu-memory", "0", "1G", false},
    {"max-memory", "0", "1G", false},
    {"deterministic", "false", "true", false},
    {"images", "auto", "disk", false},
    {"keep-decoded", "a", "b", false},
    {"precision", "fp32", "bf16", true},
    {"time-limit", "0", "5", false},
    {"baseline", "a", "b", false},
    {"name", "a", "b", false},
    {"resume", "false", "true", false},
    {"allow-mixed", "false", "true", false},
    {"overwrite", "false", "true", false},
    {"quiet", "false", "true", false},
    {"json", "false", "true", false},
};

/* Fit's options with one of them set; their strings stay for the next two calls. */
static void parse_one(struct fit_options *options, const char *name, const char *value)
{
    static char kept[3][5][64];
    static int turn;
    char(*texts)[64] = kept[turn++ % 3];
    char *argv[] = {texts[0], texts[1], texts[2], texts[3], texts[4]};
    struct error err = {0};
    int argc = 0;
    snprintf(texts[argc++], sizeof texts[0], "fit");
    snprintf(texts[argc++], sizeof texts[0], "--%s=%s", name, value);
    if (strcmp(name, "cache") != 0)
        snprintf(texts[argc++], sizeof texts[0], "--cache=cache");
    if (strcmp(name, "student") != 0)
        snprintf(texts[argc++], sizeof texts[0], "--student=dwpw");
    if (strcmp(name, "out") != 0)
        snprintf(texts[argc++], sizeof texts[0], "%s", "--out=out");
    assert_int_equal(fit_options_table(options, "student_train fit", "", NULL, 0, &err), STATUS_OK);
    if (options_parse(&options->table, argc, argv, &err) != STATUS_OK)
        fail_msg("--%s=%s: %s", name, value, err.message);
}

static void options_allow_side_by_side(void **state)
{
    (void)state;
    const int count = sizeof side_by_side_options / sizeof *side_by_side_options;
    for (int i = 0; i < count; i++) {
        const char *name = side_by_side_options[i].name;
        static struct fit_options a, b, again;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        memset(&again, 0, sizeof again);
        parse_one(&a, name, side_by_side_options[i].a);
        parse_one(&b, name, side_by_side_options[i].b);
        parse_one(&again, name, side_by_side_options[i].a);
        assert_int_equal(a.table.count, count);
        assert_string_equal(a.table.specs[i].name, name);
        assert_true(fit_options_side_by_side(&a, &again));
        if (fit_options_side_by_side(&a, &b) == side_by_side_options[i].equal)
            fail_msg("%s %s and %s", name, side_by_side_options[i].a, side_by_side_options[i].b);
        options_release(&a.table);
        options_release(&b.table);
        options_release(&again.table);
    }
}

/* Values are compared, not their spelling. */
static void spelling_does_not_matter(void **state)
{
    (void)state;
    static struct fit_options a, b;
    parse_one(&a, "weight-decay", "1e-3");
    parse_one(&b, "weight-decay", "0.001");
    assert_true(fit_options_side_by_side(&a, &b));
    options_release(&a.table);
    options_release(&b.table);
}

/* Every cell gives the same run as fit with the cell's options, trained alone or side by side with others. */
static void side_by_side_changes_nothing(void **state)
{
    (void)state;
    expect(0, "8 runs", shell(SWEEP GRID "--ema 0.9 --out alone --parallel 1", program));
    expect(0, "8 runs", shell(SWEEP GRID "--ema 0.9 --out together --parallel 3", program));
    same_file("alone", "together", "sweep.csv");
    expect(0, "same",
           shell("cd alone/runs; for d in *; do for f in best.safetensors last.safetensors summary.csv; do "
                 "cmp \"$d/$f\" \"../../together/runs/$d/$f\" || exit 1; done; done; echo same"));
    expect(0, "",
           shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 3 --ema 0.9 --loss "
                 "'0.5*ce + 0.5*kd(T=8)' --seed 7 --order-seed 0 --out cell",
                 program));
    same_run("cell", "together/runs/0004_alpha=0.5,_T=8,_seed=7");
    expect(0, "", shell("test -s together/sweep.html && ! ls together/checkpoint-* 2>/dev/null"));
}

/* A grid of sizes: the images are loaded once, and every cell sees its views at its own size. */
static void cells_have_their_own_size(void **state)
{
    (void)state;
    expect(0, "2 runs", shell(SWEEP "--grid size=20,24 --out sizes", program));
    expect(
        0, "",
        shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 3 --size 24 --out size24", program));
    same_run("size24", "sizes/runs/0002_size=24");
    expect(0, "2 runs", shell(SWEEP "--grid size=20,24 --images disk --out disk", program));
    same_run("disk/runs/0001_size=20", "sizes/runs/0001_size=20");
    same_run("disk/runs/0002_size=24", "sizes/runs/0002_size=24");
    for (int i = 0; i < 2; i++) { /* with the images of either size of the first one */
        expect(0, "2 runs", shell(SWEEP "--grid size=20,24 --keep-decoded kept --out kept%d", program, i));
        expect(0, "3", shell("ls kept/*.images | wc -l"));
        same_run(i ? "kept1/runs/0001_size=20" : "kept0/runs/0001_size=20", "sizes/runs/0001_size=20");
        same_run(i ? "kept1/runs/0002_size=24" : "kept0/runs/0002_size=24", "sizes/runs/0002_size=24");
    }
}

/* Patience ends each run separately, even when runs are trained side by side. */
static void patience_is_each_runs_own(void **state)
{
    (void)state;
#define IMPATIENT \
    "%s sweep --cache cache --student tiny.net --batch 16 --quiet --epochs 12 --patience 2 --grid lr=0.02,0.0001,0.5 "
    expect(0, "3 runs", shell(IMPATIENT "--out patient1 --parallel 1", program));
    expect(0, "3 runs", shell(IMPATIENT "--out patient3 --parallel 3", program));
    same_file("patient1", "patient3", "sweep.csv");
    expect(0, "same",
           shell("cd patient1/runs; for d in *; do for f in best.safetensors last.safetensors summary.csv; do "
                 "cmp \"$d/$f\" \"../../patient3/runs/$d/$f\" || exit 1; done; done; echo same"));
    expect(0, "early", shell("test \"$(cat patient3/runs/*/summary.csv | wc -l)\" -lt 39 && echo early"));
}

/* A sweep that is killed several times ends with the same results as an undisturbed one. */
static void killed_and_resumed(void **state)
{
    (void)state;
    expect(0, "8 runs", shell(SWEEP GRID "--out calm --parallel 2", program));
    shell(SWEEP GRID "--out killed --parallel 2 & sleep 0.4; kill -KILL $!; wait", program);
    for (int i = 0; i < 3; i++)
        shell("timeout --foreground -s KILL 0.3 " SWEEP GRID "--out killed --parallel 2 --resume", program);
    expect(0, "8 runs", shell(SWEEP GRID "--out killed --parallel 2 --resume", program));
    same_file("calm", "killed", "sweep.csv");
    expect(0, "same",
           shell("cd calm/runs; for d in *; do for f in best.safetensors last.safetensors summary.csv; do "
                 "cmp \"$d/$f\" \"../../killed/runs/$d/$f\" || exit 1; done; done; echo same"));
    expect(73, "already holds a sweep", shell(SWEEP GRID "--out killed", program));
    expect(78, "cannot resume: lr was 1e-3, now 0.5", shell(SWEEP GRID "--out killed --resume --lr 0.5", program));
}

/* Parts that run at once, one of them killed if it lasts that long, and started again, give what one process gives. */
static void parts_share_a_sweep(void **state)
{
    (void)state;
    expect(0, "8 runs", shell(SWEEP GRID "--out one --parallel 1", program));
    shell("for i in 1 3 2; do " SWEEP GRID
          "--out shared --parallel $i --part $i/3 & done; sleep 0.1; kill -KILL $!; wait",
          program);
    expect(0, "runs", shell(SWEEP GRID "--out shared --parallel 2 --part 2/3", program));
    expect(0, "8 runs", shell(SWEEP GRID "--out shared --parallel 1 --part 1/3", program)); /* nothing is left to do */
    same_file("one", "shared", "sweep.csv");
    expect(0, "same",
           shell("cd one/runs; for d in *; do for f in best.safetensors last.safetensors summary.csv; do "
                 "cmp \"$d/$f\" \"../../shared/runs/$d/$f\" || exit 1; done; done; echo same"));
    for (int parallel = 1; parallel <= 4; parallel++) /* the same cells, whatever is trained side by side */
        expect(0, "3 of 8 runs are finished",
               shell(SWEEP GRID "--out third-%d --parallel %d --part 3/3", program, parallel, parallel));
    expect(64, "--part 4/3", shell(SWEEP GRID "--out third-1 --part 4/3", program));
    expect(64, "--overwrite would remove", shell(SWEEP GRID "--out third-1 --part 1/3 --overwrite", program));
}

static void refuses_bad_sweeps(void **state)
{
    (void)state;
    expect(64, "{T}, but no --grid gives it values",
           shell(SWEEP "--loss 'kd(T={T})' --grid lr=1,2 --out bad", program));
    expect(64, "neither an option of fit nor a variable", shell(SWEEP "--grid temperature=1,2 --out bad", program));
    expect(64, "--grid", shell(SWEEP "--out bad", program));
    expect(64, "--student is missing", shell("%s sweep --cache cache --epochs 1 --grid lr=1,2 --out bad", program));
    expect(64, "'T' must be a number", shell(SWEEP "--loss 'kd(T={T})' --grid T=1,0 --out bad", program));
    expect(0, "2 runs", shell(SWEEP "--grid 'loss=ce,kd(T=2)' --parallel 4 --out mixed", program));
}

/* What a cell says counts, whatever its neighbours say: an order of its own, and losses that only look alike. */
static void cells_have_their_own_order_and_losses(void **state)
{
    (void)state;
    expect(0, "2 runs", shell(SWEEP "--grid order-seed=3,4 --out orders", program));
    expect(0, "",
           shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 3 --order-seed 4 --out order4",
                 program));
    same_run("order4", "orders/runs/0002_order-seed=4");
    expect(0, "2 runs", shell(SWEEP "--grid 'loss=ce + rkd_distance,ce + dm' --parallel 2 --out alike", program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_are_read),
        cmocka_unit_test(labels_end_between_characters),
        cmocka_unit_test(bad_grids_are_refused),
        cmocka_unit_test(options_allow_side_by_side),
        cmocka_unit_test(spelling_does_not_matter),
        cmocka_unit_test(side_by_side_changes_nothing),
        cmocka_unit_test(cells_have_their_own_size),
        cmocka_unit_test(cells_have_their_own_order_and_losses),
        cmocka_unit_test(patience_is_each_runs_own),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(parts_share_a_sweep),
        cmocka_unit_test(refuses_bad_sweeps),
    };
    return cmocka_run_group_tests_name("sweep", tests, program_setup, program_teardown);
}
