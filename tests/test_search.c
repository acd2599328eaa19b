/* student_train search: candidates within their budget, rounds, a killed search resumes, and what chooses is not what
 * is reported. */
#define _GNU_SOURCE
#include "student_train/search/search_space.h"
#include "shared/graph/plan.h"
#include "tests/helper_nets.h"
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define SEARCH                                                                                            \
    "%s search --cache cache --loss '0.1*ce + 0.9*kd(T=4)' --batch 16 --quiet --epochs 8 --candidates 6 " \
    "--seed 5 --schedule cosine --lr 0.02 "

#define FULL SEARCH "--max-params 4000 --finalists 2 "

/* Every budget is honoured, at every size, and the nets differ. */
static void candidates_fit_their_budgets(void **state)
{
    (void)state;
    static const struct {
        struct student_input input;
        struct search_budget budget;
    } cases[] = {
        {{3, 224, 11}, {60000, 0, 0}},         {{3, 112, 10}, {60000, 10e6, 0}}, {{3, 160, 11}, {60000, 0, 100000}},
        {{3, 32, 10}, {60000, 8e6, 20000}},    {{1, 28, 10}, {20000, 0, 0}},     {{3, 7, 3}, {5000, 0, 0}},
        {{3, 224, 1000}, {1000000, 200e6, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct search_budget *budget = &cases[i].budget;
        static struct candidate nets[12], again;
        struct error err = {0};
        size_t most = 0;
        for (int n = 0; n < 12; n++) {
            if (candidate_make(&nets[n], 3, n, &cases[i].input, budget, &err) != STATUS_OK)
                fail_msg("case %zu: %s", i, err.message);
            assert_true(nets[n].parameters <= budget->parameters);
            assert_true(!(budget->multiplies > 0) || nets[n].multiplies <= budget->multiplies);
            assert_true(!budget->activation_bytes || nets[n].activation_bytes <= budget->activation_bytes);
            most = nets[n].parameters > most ? nets[n].parameters : most;
            for (int other = 0; other < n; other++)
                assert_string_not_equal(nets[n].text, nets[other].text);
        }
        if (!(budget->multiplies > 0) && !budget->activation_bytes)
            assert_true((double)most > 0.7 * (double)budget->parameters); /* the budget is used */
        assert_int_equal(candidate_make(&again, 3, 7, &cases[i].input, budget, &err), STATUS_OK);
        assert_string_equal(again.text, nets[7].text); /* whatever came before */
        assert_int_equal(candidate_make(&again, 4, 7, &cases[i].input, budget, &err), STATUS_OK);
        assert_string_not_equal(again.text, nets[7].text);
    }
    static struct candidate net;
    struct error err = {0};
    assert_int_equal(
        candidate_make(&net, 3, 0, &(struct student_input){3, 224, 11}, &(struct search_budget){500, 0, 0}, &err),
        STATUS_CONFIG);
    assert_non_null(strstr(err.message, "raise --max-params"));
}

/* A chain holds a step's input and output; a skip holds its start for as long as it is needed. */
static void peak_activations(void **state)
{
    (void)state;
    struct graph graph;
    struct plan plan;
    graph_init(&graph);
    const int in = net_input(&graph, 1, 4, 4);                                                /* 16 floats */
    const int a = net_conv(&graph, in, (struct net_window){.out = 2, .kernel = 3, .pad = 1}); /* 32 */
    const int b = net_conv(&graph, a, (struct net_window){.out = 8});                         /* 128 */
    const int c = net_conv(&graph, b, (struct net_window){.out = 2});                         /* 32 */
    net_linear(&graph, net_add(&graph, a, c), 3, true);
    net_weights(&graph, 1);
    assert_int_equal(plan_compile(&plan, &graph, &(struct plan_options){.batch = 5}, NULL), STATUS_OK);
    assert_int_equal(plan_peak_bytes(&plan), 4 * (32 + 128 + 32)); /* while c is made, a waits for the sum */
    plan_release(&plan);
    graph_release(&graph);
}

static void finds_a_net(void **state)
{
    (void)state;
    expect(0, "best net", shell(FULL "--out found", program));
    /* 6 nets of 4 epochs, then 2 of 8; in the order of the table the finalists come first */
    expect(0, "8 8 4 4 4 4 ", shell("cut -d, -f5 found/search.csv | tail -n +2 | tr '\\n' ' '"));
    expect(0, "", shell("test -s found/search.html && test -s found/best.net && test -s found/nets/0006.net"));
    expect(0, "3", shell("wc -l < found/runs/0001/summary.csv | grep -E '^(5|9)$' > /dev/null && echo 3"));
    /* the best two of the first round have gone on */
    expect(
        0, "best went on",
        shell(
            "tail -n +2 found/search.csv | cut -d, -f1,5 | tr , ' ' | while read net epochs; do "
            "awk -F, -v epochs=$epochs 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"eval_top1\") c = i; next } "
            "NR <= 5 && $c > most { most = $c } END { print epochs, most / 100 }' "
            "found/runs/$(printf %%04d $net)/summary.csv; done | "
            "awk '$1 == 8 { on[++n] = $2 } $1 == 4 { off[++m] = $2 } END { low = most = on[1]; least = high = off[1]; "
            "for (i = 1; i <= n; i++) { if (on[i] < low) low = on[i]; if (on[i] > most) most = on[i] } "
            "for (i = 1; i <= m; i++) { if (off[i] > high) high = off[i]; if (off[i] < least) least = off[i] } "
            "print (n == 2 && m == 4 && low >= high && most > least) ? \"best went on\" : low \" \" high }'"));
    /* the best net is a student like any other, and its run is the one that fit makes */
    expect(0, "parameters", shell("%s inspect --student found/best.net --size 20 --classes 3", program));
    expect(
        0, "same",
        shell("set -e; n=$(sed -n 2p found/search.csv | cut -d, -f1); run=$(printf 'found/runs/%%04d' $n); "
              "%s fit --cache cache --loss '0.1*ce + 0.9*kd(T=4)' --batch 16 --quiet --epochs 8 --max-params 4000 "
              "--seed 5 "
              "--schedule cosine --lr 0.02 --select-on half --student $(printf 'found/nets/%%04d.net' $n) --out alone "
              "> /dev/null; for f in best.safetensors last.safetensors summary.csv; do cmp alone/$f $run/$f; done; "
              "echo same",
              program));
    expect(73, "already holds a search", shell(FULL "--out found", program));
    expect(78, "cannot resume: beta1 was", shell(FULL "--out found --resume --beta1 0.5", program));
    /* finished: nothing is trained again */
    expect(0, "same",
           shell("cp found/search.csv before.csv; touch mark; " FULL "--out found --resume > /dev/null && "
                 "cmp before.csv found/search.csv && test -z \"$(find found/runs -newer mark -name '*.safetensors')\" "
                 "&& echo same",
                 program));
}

/* Nets are ranked by what they are in 8 bits: the epochs before do not count. */
static void scores_are_those_of_8_bits(void **state)
{
    (void)state;
    expect(0, "best net", shell(FULL "--qat 5 --out rounded", program));
    expect(0, "same",
           shell("tail -n +2 rounded/search.csv | cut -d, -f1,5,6 | tr , ' ' | { while read net epochs selection; do "
                 "test $epochs = 8 || continue; awk -F, -v wanted=$selection 'NR == 1 { for (i = 1; i <= NF; i++) "
                 "if ($i == \"eval_top1\") c = i; next } NR > 6 && $c > most { most = $c } "
                 "END { d = most / 100 - wanted; exit !(d < 1e-6 && d > -1e-6) }' "
                 "rounded/runs/$(printf %%04d $net)/summary.csv || exit 1; n=$((n + 1)); done; test $n = 2 && echo "
                 "same; }"));
}

static void killed_and_resumed(void **state)
{
    (void)state;
    expect(0, "best net", shell(FULL "--out calm", program));
    shell(FULL "--out killed & sleep 0.3; kill -KILL $!; wait", program);
    for (int i = 0; i < 4; i++)
        shell("timeout --foreground -s KILL 0.%d " FULL "--out killed --resume", 2 + i, program);
    expect(0, "best net", shell(FULL "--out killed --resume", program));
    same_file("calm", "killed", "search.csv");
    same_file("calm", "killed", "best.net");
    expect(0, "best net", shell(FULL "--out killed --overwrite --threads 1", program));
    same_file("calm", "killed", "search.csv");
}

/* The samples at even positions choose, the others are reported. */
static void halves_do_not_mix(void **state)
{
    (void)state;
    expect(0, "chosen on one half",
           shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 3 --select-on half --out half",
                 program));
    expect(0, "12 samples",
           shell("%s fit --cache cache --student tiny.net --batch 16 --quiet --epochs 3 --select-on half "
                 "--out half --overwrite",
                 program));
    /* accuracy of the whole split with the same weights = the mean of the halves (12 and 12 samples) */
    expect(0, "", shell("%s eval --run half --cache cache --json > whole.json", program));
    cJSON *metrics = json_of("half/metrics.json"), *whole = json_of("whole.json");
    const cJSON *half = cJSON_GetObjectItem(metrics, "validation"), *row, *count;
    int counted = 0;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(half, "confusion")) cJSON_ArrayForEach(count, row) counted +=
        count->valueint;
    assert_int_equal(counted, 12);
    assert_int_equal(cJSON_GetObjectItem(half, "samples")->valueint, 12);
    assert_string_equal(cJSON_GetObjectItem(half, "part")->valuestring, "odd");
    assert_float_equal(
        (cJSON_GetObjectItem(half, "accuracy")->valuedouble + cJSON_GetObjectItem(half, "selection")->valuedouble) / 2,
        cJSON_GetObjectItem(whole, "accuracy")->valuedouble, 1e-9);
    cJSON_Delete(metrics);
    cJSON_Delete(whole);
}

static void refuses_bad_searches(void **state)
{
    (void)state;
    expect(64, "search takes no --student", shell(FULL "--student tiny.net --out bad", program));
    expect(64, "search takes no --patience", shell(FULL "--patience 2 --out bad", program));
    expect(78, "search takes no --init",
           shell("printf '[search]\\ninit = x\\n' > init.ini; " FULL "--config init.ini --out bad", program));
    for (int form = 0; form < 4; form++)
        expect(1, "",
               shell("%s search --help%s | grep -e '--student' -e '\\\\-student' -e '--patience'", program,
                     ((const char *[]){"", "=man", "=bash", "=zsh"})[form]));
    expect(64, "--finalists 9 must not be more", shell(SEARCH "--finalists 9 --out bad", program));
    expect(78, "none fits in 300 parameters", shell(SEARCH "--finalists 2 --max-params 300 --out bad", program));
    expect(1, "", shell("test -e bad"));
}

/* A net that diverges is no error by itself, and leaves none behind. */
static void says_that_all_diverged(void **state)
{
    (void)state;
    expect(78, "the loss of every net is not finite",
           shell("%s search --cache cache --loss ce --quiet --epochs 2 --candidates 2 --finalists 1 --max-params 4000 "
                 "--lr 1e9 --optimizer sgd --weight-decay 1e6 --out diverged",
                 program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_fit_their_budgets),
        cmocka_unit_test(peak_activations),
        cmocka_unit_test(finds_a_net),
        cmocka_unit_test(scores_are_those_of_8_bits),
        cmocka_unit_test(killed_and_resumed),
        cmocka_unit_test(halves_do_not_mix),
        cmocka_unit_test(refuses_bad_searches),
        cmocka_unit_test(says_that_all_diverged),
    };
    return cmocka_run_group_tests_name("search", tests, program_setup, program_teardown);
}
