/* libFuzzer: the files of a run folder from hostile bytes: run.json, metrics.json, summary.csv, checkpoint (make fuzz).
 * The first byte chooses the file; seals and digests in it are made right, as whoever builds such a file would do. */
#include "formats/json.h"
#include "formats/net/net_text.h"
#include "formats/report/run_log.h"
#include "shared/base/files.h"
#include "student_train/run/checkpoint.h"
#include "student_train/run/run_curve.h"
#include "student_train/run/run_folder.h"
#include "student_train/run/run_metrics.h"
#include "tests/helper_fuzz.h"
#include "tests/helper_images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { RUN, METRICS, SUMMARY, CHECKPOINT, FILES, LENGTH_SIZE = 8 };

static const char *const names[FILES] = {"run.json", "metrics.json", "summary.csv", "checkpoint"};
static const char IDENTITY[] = "lr = 1e-3\n";
static const char *folder;
static char checkpoint[128];
static struct compute compute;
static struct graph graph;
static struct loss_expression loss;
static const struct trainer_options options = {.batch = 2, .ema_decay = 0.9};
static struct trainer trainer;

static void need(enum status status)
{
    if (status != STATUS_OK)
        abort();
}

static void start_trainer(void)
{
    static const char text[] = "conv a 2 1x1\nbn\nrelu\ngap\nfc b classes\n";
    const struct net_text_options net = {"net", 3, 8, 2};
    need(compute_open(&compute, &(struct compute_options){.device = "cpu", .threads = 1}, NULL, NULL));
    need(loss_expression_parse(&loss, "ce", NULL));
    need(net_text_parse(&graph, text, sizeof text - 1, &net, NULL));
    need(trainer_init(&trainer, &compute, &graph, &(struct trainer_student){.loss = &loss}, 1, &options, NULL, NULL));
}

static void write_seeds(void)
{
    static const char run[] =
        "{\"run_format\": 2, \"name\": \"a\", \"student\": \"s\", \"structure\": \"student.net\", "
        "\"structure_sha256\": "
        "\"0000000000000000000000000000000000000000000000000000000000000000\", \"loss\": \"kd\", \"cache\": \"c\", "
        "\"cache_digest\": \"d\", \"classes\": [\"x\", \"y\"], \"preprocessing\": {\"color\": \"RGB\", \"exif\": "
        "\"ignore\", \"resize_mode\": \"shorter\", \"resize\": 256, \"crop\": 224, \"size\": 64, \"interpolation\": "
        "\"bilinear, antialiased\", \"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225]}}";
    static const char metrics[] =
        "{\"name\": \"a\", \"student\": \"s\", \"loss\": \"kd\", \"device\": \"cpu\", \"parameters\": 3, "
        "\"multiply_accumulates\": 4, \"epochs\": 5, \"best_epoch\": 5, \"seconds\": 1.5, \"images_per_second\": 2, "
        "\"validation\": {\"accuracy\": 0.5, \"agreement\": 0.25, \"loss\": 1.5}}";
    static const char summary[] = "epoch,train_loss,eval_loss,eval_top1,lr,train_top1,eval_agreement,loss_kd\n"
                                  "1,2.5,,50,0.1,10,25,2.5\n2,1.5,2,50,0.01,20,50,1.5\n";
    const struct progress_state state = {.epoch = 1, .kernels = "unknown kernels"};
    fuzz_seed("run", RUN, run, sizeof run - 1);
    fuzz_seed("metrics", METRICS, metrics, sizeof metrics - 1);
    fuzz_seed("summary", SUMMARY, summary, sizeof summary - 1);
    need(checkpoint_write(checkpoint, &trainer, &state, IDENTITY, NULL));
    fuzz_seed_file("checkpoint", CHECKPOINT, checkpoint);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    folder = fuzz_folder();
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", folder);
    start_trainer();
    write_seeds();
    return 0;
}

static void seal_checkpoint(uint8_t *bytes, size_t size)
{
    size_t header = 0;
    for (int i = 0; i < LENGTH_SIZE && size >= LENGTH_SIZE; i++)
        header |= (size_t)bytes[i] << (8 * i);
    if (size >= LENGTH_SIZE && header <= size - LENGTH_SIZE)
        fuzz_seal(bytes + LENGTH_SIZE, size - LENGTH_SIZE, header, "\"sha256\":\"");
}

static void read_run(void)
{
    struct run_info info;
    if (run_info_read(&info, folder, NULL) == STATUS_OK) {
        need(run_info_write(&info, folder, NULL)); /* what is accepted can be written */
        run_info_release(&info);
    }
}

static void read_metrics(void)
{
    struct run_metrics metrics = {0};
    run_metrics_read(&metrics, folder, NULL);
    run_metrics_release(&metrics);
}

static void read_summary(void)
{
    static const char *const terms[] = {"kd"};
    struct run_log *log;
    int count;
    free(run_curve(folder, SUMMARY_ACCURACY, &count));
    if (run_log_open(&log, folder, terms, 1, 3, NULL) != STATUS_OK)
        return;
    run_log_close(log);
    remove_folder(folder); /* a new file for TensorBoard at each start */
    need(folder_make(folder, NULL));
}

static void read_checkpoint(void)
{
    struct progress_state state = {0};
    checkpoint_read(checkpoint, &trainer, &state, IDENTITY, true, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static void (*const readers[FILES])(void) = {read_run, read_metrics, read_summary, read_checkpoint};
    if (size < 1)
        return 0;
    const int kind = bytes[0] % FILES;
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    if (kind == CHECKPOINT)
        seal_checkpoint(copy + 1, size - 1);
    else
        fuzz_seal(copy + 1, size - 1, size - 1, FUZZ_JSON_SEAL);
    fuzz_file(folder, names[kind], copy + 1, size - 1);
    free(copy);
    readers[kind]();
    return 0;
}
