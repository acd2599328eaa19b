/* Files of predictions: the order of names, Ids, CSV; then `student_train predict` from the outside, with names that
 * sort badly, broken photos, class names that are numbers, and mirror images. */
#define _GNU_SOURCE
#include "formats/export/prediction_csv.h"
#include "shared/base/files.h"
#include "shared/base/natural_order.h"
#include "student_train/run/prediction_ids.h"
#include "tests/helper_images.h"
#include "tests/helper_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIT "%s fit --student tiny.net --batch 16 --quiet "
#define PREDICT "%s predict --quiet "

/* ---- names, Ids, CSV ---- */
static void names_are_in_natural_order(void **state)
{
    static const char *const sorted[] = {"",
                                         "0.jpg",
                                         "00.jpg",
                                         "01.jpg",
                                         "1.jpg",
                                         "2.jpg",
                                         "10.jpg",
                                         "a",
                                         "a1b2",
                                         "a1b10",
                                         "a2b1",
                                         "b/2.jpg",
                                         "b/10.jpg",
                                         "b9",
                                         "b99999999999999999999999",
                                         "b100000000000000000000000"};
    (void)state;
    for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++)
        for (size_t j = 0; j < sizeof sorted / sizeof *sorted; j++) {
            const int order = natural_order(sorted[i], sorted[j]);
            if ((order > 0) - (order < 0) != (i > j) - (i < j))
                fail_msg("'%s' and '%s' are in the wrong order", sorted[i], sorted[j]);
        }
}

static void expect_ids(struct id_rule rule, const char *const *names, const char *const *expected, size_t count)
{
    struct arena arena = {0};
    struct error err = {0};
    const char *const *ids;
    if (prediction_ids(&rule, names, count, &arena, &ids, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(ids[i], expected[i]);
    arena_release(&arena);
}

static void ids_follow_their_rule(void **state)
{
    static const char *const names[3] = {"a/img_0042.v1.jpg", "7.png", "x100"};
    (void)state;
    expect_ids((struct id_rule){.kind = ID_STEM}, names, (const char *const[]){"img_0042.v1", "7", "x100"}, 3);
    expect_ids((struct id_rule){.kind = ID_NAME}, names, names, 3);
    expect_ids((struct id_rule){.kind = ID_NUMBER}, names, (const char *const[]){"1", "7", "100"}, 3);
    expect_ids((struct id_rule){.kind = ID_NUMBER, .width = 3}, names, (const char *const[]){"001", "007", "100"}, 3);
    expect_ids((struct id_rule){.kind = ID_POSITION, .first = 9, .width = 2}, names,
               (const char *const[]){"09", "10", "11"}, 3);
    expect_ids((struct id_rule){.kind = ID_AUTO}, names, (const char *const[]){"img_0042.v1", "7", "x100"}, 3);
    static const char *const zero[1] = {"000.jpg"};
    expect_ids((struct id_rule){.kind = ID_NUMBER}, zero, (const char *const[]){"0"}, 1);
    /* two photos of one stem */
    static const char *const twins[2] = {"a/1.jpg", "b/1.jpg"};
    expect_ids((struct id_rule){.kind = ID_AUTO}, twins, twins, 2);
}

static void no_two_photos_get_one_id(void **state)
{
    static const char *const names[3] = {"a/1.jpg", "2.jpg", "01.png"}, *const bare[1] = {"photo.jpg"};
    struct arena arena = {0};
    struct error err = {0};
    const char *const *ids;
    (void)state;
    assert_int_equal(prediction_ids(&(struct id_rule){.kind = ID_NUMBER}, names, 3, &arena, &ids, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "a/1.jpg"));
    assert_non_null(strstr(err.message, "01.png"));
    err = (struct error){0};
    assert_int_equal(prediction_ids(&(struct id_rule){.kind = ID_NUMBER}, bare, 1, &arena, &ids, &err), STATUS_CONFIG);
    assert_string_equal(err.path, "photo.jpg");
    arena_release(&arena);
}

static void expect_csv(const struct prediction_csv *csv, const char *expected)
{
    static const char *const ids[2] = {"0001", "a,\"b\".jpg"};
    static const float rows[6] = {0.25f, 0.25f, 0.5f, 0.125f, 0.75f, 0.125f};
    unsigned char *text;
    size_t size;
    struct error err = {0};
    char *path = path_join(folder, "forms.csv");
    if (prediction_csv_publish(path, csv, ids, rows, 2, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(file_read(path, 1 << 20, &text, &size, NULL), STATUS_OK);
    assert_string_equal((char *)text, expected);
    free(text);
    free(path);
}

static void csv_has_the_form_that_was_asked_for(void **state)
{
    static const char *const names[3] = {"bread", "egg, fried", "soup"};
    const struct prediction_csv plain = {.names = names, .classes = 3};
    struct prediction_csv csv = plain;
    struct error err = {0};
    (void)state;
    expect_csv(&csv, "Id,Category\n0001,2\n\"a,\"\"b\"\".jpg\",1\n");
    csv.labels = names;
    csv.header = "image,what";
    expect_csv(&csv, "image,what\n0001,soup\n\"a,\"\"b\"\".jpg\",\"egg, fried\"\n");
    csv = plain;
    csv.top = 2; /* of equal ones the first */
    expect_csv(&csv, "Id,Category\n0001,2 0\n\"a,\"\"b\"\".jpg\",1 0\n");
    csv.probabilities = true;
    csv.top = 9;
    expect_csv(&csv, "Id,Category,Probability\n0001,2 0 1,0.5 0.25 0.25\n\"a,\"\"b\"\".jpg\",1 0 2,0.75 0.125 0.125\n");
    csv.top = 0;
    expect_csv(&csv, "Id,bread,\"egg, fried\",soup\n0001,0.25,0.25,0.5\n\"a,\"\"b\"\".jpg\",0.125,0.75,0.125\n");
    csv.header = "id";
    expect_csv(&csv, "id,bread,\"egg, fried\",soup\n0001,0.25,0.25,0.5\n\"a,\"\"b\"\".jpg\",0.125,0.75,0.125\n");
    csv.header = "id,a,b";
    assert_int_equal(prediction_csv_publish("/nonexistent/p.csv", &csv, NULL, NULL, 0, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "3 columns, but the file has 4"));
    assert_int_equal(prediction_csv_publish("/nonexistent/p.csv", &plain, NULL, NULL, 0, NULL), STATUS_CANT_CREATE);
}

/* ---- the program ---- */
static int set_up(void **state)
{
    int code = program_setup(state);
    if (code == 0)
        code = shell(FIT "--cache cache --loss ce --epochs 10 --lr 0.02 --out run", program);
    /* 12 photos with unpadded names: number n is of class n % 3 */
    if (code == 0)
        code = shell("mkdir test && for n in 1 2 3 4 5 6 7 8 9 10 11 12; do "
                     "cp photos/val/class_0$((n %% 3))/000$((n %% 8)).jpg test/$n.jpg; done");
    if (code != 0)
        fprintf(stderr, "%s\n", output);
    return code;
}

/* The class of a photo does not depend on the other files, nor on how its Id is made. */
static void rows_belong_to_their_photos(void **state)
{
    (void)state;
    expect(0, "12 predictions in p.csv", shell(PREDICT "--run run --data test --out p.csv", program));
    expect(0, "Id\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", shell("cut -d, -f1 p.csv"));
    for (int n = 1; n <= 12; n++) /* each alone */
        expect(0, "same",
               shell("rm -rf alone && mkdir alone && cp test/%d.jpg alone && " PREDICT
                     "--run run --data alone --out alone.csv && tail -1 alone.csv >a && grep '^%d,' p.csv "
                     "| cmp - a && echo same",
                     n, program, n));
    expect(0, "", shell("cut -d, -f2 p.csv >classes"));
    expect(0, "Id,Category\n0001,",
           shell(PREDICT "--run run --data test --preset kaggle-hw3 --out q.csv && cat q.csv", program));
    expect(0, "", shell("cut -d, -f2 q.csv | cmp - classes && tail -1 q.csv | grep '^0012,'"));
    expect(0, "", shell(PREDICT "--run run --data test --id position --id-first 5 --header a,b --out q.csv", program));
    expect(0, "a,b\n5,", shell("cat q.csv && sed 1d q.csv | cut -d, -f2 >c && sed 1d classes | cmp - c"));
    /* photos in subfolders, with the same names */
    expect(0, "Ids are whole names",
           shell("mkdir -p deep/x deep/y && cp test/1.jpg deep/x && cp test/2.jpg deep/y/1.JPG "
                 "&& " PREDICT "--run run --data deep --out q.csv && cat q.csv",
                 program));
    expect(0, "x/1.jpg,", shell("cat q.csv"));
    expect(STATUS_CONFIG, "x/1.jpg and y/1.JPG would both have Id 1",
           shell(PREDICT "--run run --data deep --id stem --out q.csv", program));
}

/* Broken photos keep their row and are named; the others get what they got without them. */
static void broken_photos_keep_their_rows(void **state)
{
    (void)state;
    expect(0, "",
           shell("rm -rf broken && cp -r test broken && head -c 300 test/4.jpg >broken/4.jpg && : >broken/7.jpeg "
                 "&& rm broken/7.jpg && echo text >broken/9.jpg && echo notes >broken/notes.txt && "
                 "echo a >broken/b.csv"));
    expect(0, "2 files are no photos and have no row: b.csv, ...",
           shell(PREDICT "--run run --data test --out p.csv && " PREDICT
                         "--run run --data broken --out q.csv --batch 5",
                 program, program));
    expect(0,
           "broken: 7.jpeg: ", shell(PREDICT "--run run --data broken --out q.csv --on-bad-photo majority", program));
    expect(0, "broken: 4.jpg: ", 0);
    expect(0, "broken: 9.jpg: ", 0);
    expect(0, "12 predictions", 0);
    expect(0, "", shell("grep -v -e ^4, -e ^7, -e ^9, p.csv >a && grep -v -e ^4, -e ^7, -e ^9, q.csv | cmp - a"));
    /* the majority of the nine others */
    expect(0, "same",
           shell("m=$(sed 1d a | cut -d, -f2 | sort | uniq -c | sort -k1,1nr -k2,2n | head -1 | "
                 "awk '{print $2}') && for n in 4 7 9; do grep -x $n,$m q.csv || exit 1; done && echo same"));
    expect(STATUS_BAD_DATA, "4.jpg", shell(PREDICT "--run run --data broken --out q.csv --on-bad-photo fail", program));
    expect(
        STATUS_BAD_DATA, "none of the 2 photos can be read",
        shell("mkdir none && : >none/a.jpg && : >none/b.png && " PREDICT "--run run --data none --out q.csv", program));
}

static void forms_agree(void **state)
{
    (void)state;
    expect(0, "",
           shell(PREDICT "--run run --data test --out p.csv && " PREDICT
                         "--run run --data test --probabilities --out q.csv && " PREDICT
                         "--run run --data test --probabilities --top 1 --labels name --out r.csv",
                 program, program, program));
    expect(0, "Id,class_00,class_01,class_02", shell("cat q.csv"));
    /* rows add up to 1, and the largest is the class */
    expect(0, "12 right",
           shell("sed 1d q.csv | awk -F, '{ best = 2; for (k = 3; k <= NF; k++) if ($k > $best) best = k; "
                 "sum = $2 + $3 + $4; if (sum < 0.999999 || sum > 1.000001) exit 1; print $1 \",\" best - 2 }' >a && "
                 "sed 1d p.csv | cmp - a && awk -F, 'NR > 1 { print $1 \",\" substr($2, 8) }' r.csv | cmp - a && "
                 "echo $(wc -l <a) right"));
    expect(STATUS_CONFIG, "names 1 columns, but the file has 2",
           shell(PREDICT "--run run --data test --header id --out q.csv", program));
    expect(STATUS_USAGE, "unknown preset 'kaggle-casava', did you mean 'kaggle-cassava'?",
           shell(PREDICT "--run run --data test --preset kaggle-casava --out q.csv", program));
    /* a preset of one's own yields to the command line */
    expect(0, "name,class\n001,",
           shell("printf 'header = name,class\\nid = number\\nid-width = 9\\n' >own.ini && " PREDICT
                 "--run run --data test --preset own.ini --id-width 3 --out q.csv && cat q.csv",
                 program));
    expect(STATUS_CONFIG, "own.ini:1: unknown key headre",
           shell("echo headre = a >own.ini && " PREDICT "--run run --data test --preset own.ini --out q.csv", program));
}

/* Class folders 1, 2, 10 are classes 0, 2, 1 in byte order; the file has the folders' names. */
static void numbers_as_names_are_written(void **state)
{
    (void)state;
    expect(0, "",
           shell("cp -r photos numbers && for s in train val; do mv numbers/$s/class_00 numbers/$s/1; "
                 "mv numbers/$s/class_01 numbers/$s/2; mv numbers/$s/class_02 numbers/$s/10; done"));
    expect(0, "",
           shell("%s run --data numbers --teacher none --out numbered --size 32 --base 36 --views 1 --quiet && " FIT
                 "--cache numbered --loss ce --epochs 10 --lr 0.02 --out named",
                 dumper, program));
    expect(0, "the class names are numbers", shell(PREDICT "--run named --data test --out p.csv", program));
    expect(0, "", shell(PREDICT "--run named --data test --out q.csv --labels index", program));
    expect(0, "same",
           shell("grep -c ^Id numbered/cache.json; for l in $(sed 1d q.csv); do i=${l#*,}; "
                 "set -- $(grep -o '\"classes\":[^]]*' named/run.json | tr -d '\\n\\t' | grep -o '[0-9]*'); "
                 "shift $i; echo ${l%%,*},$1; done >a; sed 1d p.csv | cmp - a && echo same"));
}

/* CIFAR-10's form: 10 training pictures, and 6 for validation, of which each odd one is the mirror image of the one
 * before. */
static void write_mirrored_pairs(void)
{
    enum { SIDE = 32, RECORD = 1 + 3 * SIDE * SIDE };
    static uint8_t records[10 * RECORD];
    struct image photo;
    for (int pass = 0; pass < 2; pass++) {
        const int count = pass ? 6 : 10;
        for (int i = 0; i < count; i++) {
            uint8_t *to = records + i * RECORD;
            *to++ = (uint8_t)i;
            synthetic_photo(&photo, SIDE, SIDE, pass ? i / 2 : i % 3, pass ? (uint32_t)(100 + i / 2) : (uint32_t)i);
            for (int c = 0; c < 3; c++)
                for (int y = 0; y < SIDE; y++)
                    for (int x = 0; x < SIDE; x++)
                        *to++ = photo.pixels[(y * SIDE + (pass && i % 2 ? SIDE - 1 - x : x)) * 3 + c];
            image_release(&photo);
        }
        write_file(folder, pass ? "pairs/test_batch.bin" : "pairs/data_batch_1.bin", records, (size_t)count * RECORD);
    }
}

/* The mean over a picture and its mirror image is the same for both; without --tta they differ. */
static void mirror_images_get_the_same_answer(void **state)
{
    (void)state;
    write_mirrored_pairs();
    expect(0, "",
           shell("%s run --data pairs --teacher none --out paired --size 32 --base 0 --views 1 --quiet && " FIT
                 "--cache paired --loss ce --epochs 2 --lr 0.02 --out pair_run",
                 dumper, program));
    for (int mirrored = 0; mirrored < 2; mirrored++)
        expect(0, mirrored ? "3 equal\n" : "0 equal\n",
               shell(PREDICT "--run pair_run --cache paired --split val --probabilities --out q.csv --tta %s && "
                             "sed 1d q.csv | cut -d, -f2- | awk 'NR %% 2 { a = $0; next } { n += a == $0 } "
                             "END { print n + 0, \"equal\" }'",
                     program, mirrored ? "hflip" : "none"));
    expect(0, "accuracy with --tta hflip", shell("%s eval --run run --quiet --tta hflip", program));
    expect(0, "\"hflip\":", shell("%s eval --run run --quiet --tta hflip --json", program));
}

/* What eval reports is what predict's rows say, as they are and with --tta hflip. */
static void eval_and_predict_agree(void **state)
{
    (void)state;
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        const char *tta = mirrored ? "hflip" : "none";
        expect(0, "same",
               shell(PREDICT "--run run --cache cache --split val --id name --tta %s --out q.csv && "
                             "right=$(sed 1d q.csv | tr -c '0-9\\n' ' ' | awk '$1 + 0 == $NF' | wc -l) && "
                             "share=$(%s eval --run run --quiet --tta %s | grep '^accuracy' | tail -1 | "
                             "grep -o '[0-9.]* %%' | head -1) && "
                             "awk -v r=$right -v s=\"$share\" 'BEGIN { printf \"%%.2f %%%%\" , 100 * r / 24 }' | "
                             "grep -Fx \"$share\" && echo same",
                     program, tta, program, tta));
    }
    /* a student of fewer pixels */
    expect(0, "", shell(FIT "--cache cache --loss ce --epochs 3 --size 20 --out small", program));
    expect(0, "",
           shell(PREDICT "--run small --cache cache --split val --id name --probabilities --out a && " PREDICT
                         "--run small --data photos/val --id name --probabilities --out b && "
                         "sed 's/^val.//' a | cmp - b",
                 program, program));
}

/* Runs of the first format, whose fields stood in the root, are read; a small student's pixels are others now. */
static void older_runs_are_read(void **state)
{
    (void)state;
    expect(0, "",
           shell(FIT "--cache cache --loss ce --epochs 2 --size 20 --out old && " PREDICT
                     "--run old --data test --probabilities --out a && " PREDICT
                     "--run run --data test --probabilities --out c",
                 program, program, program));
    for (int small = 0; small < 2; small++)
        expect(0, "",
               shell("tr -d '\\n\\t' <%s/run.json | sed -e 's/\"run_format\":2/\"run_format\":1/' "
                     "-e 's/,\"file_sha256\":\"[^\"]*\"//' "
                     "-e 's/\"preprocessing\":.*\"resize\":/\"channels\":3,\"base\":/' "
                     "-e 's/\"interpolation\":[^[]*\"mean\"/\"mean\"/' -e 's/}}$/}/' >json && mv json %s/run.json",
                     small ? "old" : "run", small ? "old" : "run"));
    expect(0, "results differ from its metrics.json",
           shell("%s predict --run old --data test --probabilities --out b && cmp a b", program));
    expect(0, "", shell("%s predict --run run --data test --probabilities --out d && cmp c d", program));
    assert_null(strstr(output, "results differ"));
    expect(STATUS_BAD_DATA, "run_format",
           shell("sed -i 's/\"run_format\":1/\"run_format\":3/' old/run.json; " PREDICT "--run old --data test --out b",
                 program));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_in_natural_order),
        cmocka_unit_test(ids_follow_their_rule),
        cmocka_unit_test(no_two_photos_get_one_id),
        cmocka_unit_test(csv_has_the_form_that_was_asked_for),
        cmocka_unit_test(rows_belong_to_their_photos),
        cmocka_unit_test(broken_photos_keep_their_rows),
        cmocka_unit_test(forms_agree),
        cmocka_unit_test(numbers_as_names_are_written),
        cmocka_unit_test(mirror_images_get_the_same_answer),
        cmocka_unit_test(eval_and_predict_agree),
        cmocka_unit_test(older_runs_are_read),
    };
    return cmocka_run_group_tests_name("predictions", tests, set_up, program_teardown);
}
