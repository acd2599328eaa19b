#include "teacher_dump/dump_options.h"

#include "formats/cache/cache.h"
#include "shared/augment/view.h"
#include "shared/inference/engine.h"
#include "teacher_dump/teacher.h"
#include "teacher_dump/teacher_check.h"
#include <stdio.h>
#include <string.h>

static const char *const bad_image_choices[] = {"fail", "skip", "salvage", NULL};
static const char *const exif_choices[] = {"ignore", "honour", NULL};
static const char *const resize_choices[] = {"shorter", "squash", "pad", NULL};
static const char *const channel_choices[] = {"rgb", "bgr", NULL};
static const char *const image_choices[] = {"embed", "link", NULL};

static void fill_specs(struct dump_options *o)
{
    const struct option_spec specs[DUMP_SPEC_COUNT] = {
        {"data", OPTION_STRING, &o->data, "DIR", NULL,
         "the data set: ImageFolder, Food-11, CIFAR, IDX and others (docs/data.md); images are JPEG, PNG, WebP, BMP, "
         "GIF or TIFF, recognised by their content",
         .required = true},
        {"val-from", OPTION_STRING, &o->val_from, "train:SHARE|test", NULL,
         "what to evaluate on if the data set has no val split: train:0.1 takes a tenth of the images of every class, "
         "drawn by the seed, out of the training split; test takes the test split"},
        {"teacher", OPTION_LIST, &o->teachers, "FILE.onnx[@WEIGHT]", NULL,
         "the teacher; its output must be logits. Several teachers are averaged, with these weights [equal]. none: "
         "only images, labels and views, to train a teacher from",
         .required = true},
        {"ensemble", OPTION_CHOICE, &o->ensemble, NULL, "logits",
         "what is averaged over several teachers: logits, or probabilities, whose logarithm is stored",
         .choices = ensemble_names},
        {"teacher-tta", OPTION_CHOICE, &o->tta, NULL, "none",
         "hflip: every answer is the average over the view and its mirror image, at twice the time",
         .choices = teacher_tta_names},
        {"teacher-engine", OPTION_CHOICE, &o->engine, NULL, "auto",
         "who runs the teacher: softcache itself (native) where it knows all operators of the model, otherwise "
         "onnxruntime, if it is installed",
         .choices = teacher_engine_names},
        {"classes", OPTION_STRING, &o->classes, "natural|as-is|FILE", "as-is",
         "the order of the classes, which is that of the teacher's logits; as-is: folders in byte order (1, 10, 2), as "
         "torchvision sorts them; natural: by their numbers (1, 2, 10), as timm does; FILE: all classes, one a line"},
        {"logits", OPTION_STRING, &o->logits, "N,N,...|FILE", NULL,
         "which of the teacher's outputs are the logits of the classes, in the order of the classes, counted from 0: "
         "for "
         "a teacher of 1000 classes on photos of ten of them [all]"},
        {"from", OPTION_CHOICE, &o->from, NULL, "logits",
         "what the teacher's outputs are; probabilities: their logarithms are the logits",
         .choices = teacher_from_names},
        {"teacher-check", OPTION_CHOICE, &o->check, NULL, "stop",
         "before the hours, the teacher is tried on about 200 labelled photos; stop if it is wrong (guesses, takes the "
         "classes in another order, gives probabilities, needs another normalisation), or only warn",
         .choices = teacher_check_names},
        {"out", OPTION_STRING, &o->out, "CACHE", NULL, "the cache's folder; an unfinished one is resumed",
         .required = true},
        {"views", OPTION_INT, &o->views, "N", "8", "augmented views of each training sample", .minimum = 1,
         .maximum = 65536},
        {"augment", OPTION_STRING, &o->recipe, "RECIPE", "light",
         "how views are made: a preset (none, light, photos, photos-mix, food11-strong, cifar) or transforms such as "
         "'random_resized_crop(scale=0.7:1)+hflip(p=0.5)'"},
        {"feature", OPTION_LIST, &o->features, "TENSOR[:FORM][:views=N]", NULL,
         "record this tensor of the teacher as fp16 (default), int8 (one scale per channel), pooled (mean over height "
         "and width) or at (attention map), for the first N views of each sample; `inspect FILE.onnx` lists tensors"},
        {"feature-views", OPTION_INT, &o->feature_views, "N", NULL, "the N of features given without views= [all]",
         .minimum = 1, .maximum = 65536},
        {"size", OPTION_INT, &o->size, "N", NULL,
         "side of the teacher's input [as in the teacher's file, otherwise 224]", .minimum = 1,
         .maximum = VIEW_MAX_SIZE},
        {"base", OPTION_INT, &o->base, "N", NULL,
         "side to which photos are resized first; 0: no resizing [256, more for sizes above 224; with squash or pad, "
         "and for raw sets, the side of the teacher's input]",
         .minimum = 0, .maximum = 8192},
        {"resize", OPTION_CHOICE, &o->resize, NULL, "shorter",
         "how, as torchvision does it: shorter: Resize(base); squash: Resize((base, base)); pad: the longer side to "
         "base, black around it. The middle of the result is what the teacher sees",
         .choices = resize_choices},
        {"exif", OPTION_CHOICE, &o->exif, NULL, "ignore",
         "turn photos as their EXIF orientation says (honour), or leave them, as Image.open and torchvision do",
         .choices = exif_choices},
        {"mean", OPTION_FLOATS, o->mean, "R,G,B", NULL,
         "input = (pixel / 255 - mean) / std [ImageNet's 0.485,0.456,0.406; raw sets 0.5,0.5,0.5]", .length = 3},
        {"std", OPTION_FLOATS, o->std, "R,G,B", NULL, "[ImageNet's 0.229,0.224,0.225; raw sets 0.5,0.5,0.5]",
         .length = 3},
        {"channels", OPTION_CHOICE, &o->channels, NULL, "rgb",
         "the order in which the teacher takes the colours (Caffe's and OpenCV's: bgr); --mean and --std are R,G,B all "
         "the same, and students take RGB",
         .choices = channel_choices},
        {"seed", OPTION_UINT64, &o->seed, "N", "1", "seed of the views"},
        {"batch", OPTION_INT, &o->batch, "N", "0",
         "views per run of the teacher; 0: 32 on the CPU (where results do not depend on it), 256 on a GPU",
         .minimum = 0, .maximum = DUMP_MAX_BATCH},
        {"device", OPTION_STRING, &o->device, "D", "auto", "auto, cpu, cuda or cuda:K"},
        {"teacher-precision", OPTION_CHOICE, &o->precision, NULL, "auto",
         "what the teacher computes in; auto: fp16 with cuDNN, otherwise fp32", .choices = precision_names},
        {"deterministic", OPTION_FLAG, &o->deterministic, NULL, NULL,
         "on the CPU: compute with AVX2 only, so that every processor that has it gives the same bits (slower where "
         "there "
         "is AVX-512)"},
        {"allow-mixed", OPTION_FLAG, &o->allow_mixed, NULL, NULL,
         "go on with a cache that was begun with another instruction set, GPU or library, whose answers differ in "
         "their "
         "last bits; the cache then names all of them"},
        {"gpu-memory", OPTION_SIZE, &o->gpu_memory, "SIZE", "0", "the most GPU memory to use; 0: all that is free"},
        {"max-memory", OPTION_SIZE, &o->max_memory, "SIZE", "0",
         "refuse a teacher whose values need more memory on the CPU; 0: more than is available"},
        {"partner-memory", OPTION_SIZE, &o->partner_memory, "SIZE", "0",
         "mixup, cutmix: memory for decoded images that may become partners; 0: a quarter of the machine's; does not "
         "change results"},
        {"threads", OPTION_INT, &o->threads, "N", "0", "0: all processors; does not change results", .minimum = 0,
         .maximum = 1024},
        {"part", OPTION_STRING, &o->part_text, "I/N", NULL,
         "do only the I-th of N parts: several processes or machines fill one cache, the last one publishes it"},
        {"images", OPTION_CHOICE, &o->images, NULL, "embed", "keep the images in the cache, or refer to the files",
         .choices = image_choices},
        {"on-bad-image", OPTION_CHOICE, &o->on_bad_image, NULL, "fail",
         "stop before the work starts, leave out bad images, or use what can be decoded of truncated ones (as Pillow "
         "with LOAD_TRUNCATED_IMAGES)",
         .choices = bad_image_choices},
        {"dry-run", OPTION_FLAG, &o->dry_run, NULL, NULL,
         "write nothing: print how much space and time a run would take"},
        {"compare-augment", OPTION_FLAG, &o->compare, NULL, NULL,
         "write nothing: try every preset of --augment, and the recipe that is given, on 200 training photos, and "
         "print "
         "how often the teacher is right and how sure it is"},
        {"json", OPTION_FLAG, &o->json, NULL, NULL, "print the summary as JSON"},
        {"quiet", OPTION_FLAG, &o->quiet, NULL, NULL, "no progress"},
    };
    memcpy(o->specs, specs, sizeof specs);
}

/* Mean and std are of pixels from 0 to 1. With one of them left to the data, the other is looked at alone. */
static enum status check_range(const struct dump_options *options, struct error *err)
{
    static const double zeros[3], ones[3] = {1, 1, 1};
    char divided[200];
    const double *mean = options->mean_given ? options->mean : zeros, *std = options->std_given ? options->std : ones;
    if (options->check != TEACHER_CHECK_STOP || !check_pixel_range(mean, std, divided, sizeof divided))
        return STATUS_OK;
    const char *only = options->std_given ? "" : strstr(divided, " --std");
    if (!options->std_given)
        divided[only - divided] = 0;
    return error_set(err, STATUS_USAGE, NULL,
                     "--mean and --std are of pixels from 0 to 1, and these are of pixels from 0 to 255: write %s "
                     "(--teacher-check warn takes them as they are)",
                     options->mean_given ? divided : strstr(divided, "--std"));
}

enum status dump_options_parse(struct dump_options *options, int argc, char **argv, struct error *err)
{
    enum status status = STATUS_OK;
    *options = (struct dump_options){.base = -1};
    fill_specs(options);
    options->table = (struct options){
        .command = "teacher_dump run",
        .summary = "Runs the teacher once over every view of every sample and stores its answers.",
        .specs = options->specs,
    };
    while (options->table.count < DUMP_SPEC_COUNT && options->specs[options->table.count].name)
        options->table.count++;
    TRY(options_parse(&options->table, argc, argv, err));
    options->help = options->table.help;
    if (options->help) {
        options_print_help(&options->table, stdout);
        if (options->table.help == HELP_TEXT)
            printf("\nPresets of --augment:\n%s", recipe_presets());
        return STATUS_OK;
    }
    options->mean_given = options_given(&options->table, "mean");
    options->std_given = options_given(&options->table, "std");
    for (int c = 0; c < 3 && options->std_given; c++)
        if (!(options->std[c] > 0))
            FAIL(error_set(err, STATUS_USAGE, NULL, "--std: every value must be above 0"));
    TRY(check_range(options, err));
    for (int i = 0; i < options->teachers.count; i++)
        if (options->teachers.count > 1 && teacher_is_none(options->teachers.items[i]))
            FAIL(error_set(err, STATUS_USAGE, NULL, "--teacher none: there can be no other teacher beside it"));
    TRY(option_part(options->part_text, &options->part, &options->parts, err));
cleanup:
    return status;
}

void dump_options_release(struct dump_options *options)
{
    options_release(&options->table);
}
