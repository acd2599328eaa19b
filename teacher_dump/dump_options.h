/* The options of `teacher_dump run`. */
#ifndef TEACHER_DUMP_DUMP_OPTIONS_H
#define TEACHER_DUMP_DUMP_OPTIONS_H

#include "shared/base/options.h"

enum { DUMP_SPEC_COUNT = 40, DUMP_MAX_BATCH = 4096 };
enum { BAD_IMAGE_FAIL, BAD_IMAGE_SKIP, BAD_IMAGE_SALVAGE };
enum { EXIF_IGNORE, EXIF_HONOUR };
enum { CHANNELS_RGB, CHANNELS_BGR };
enum { IMAGES_EMBED, IMAGES_LINK };

struct dump_options {
    const char *data, *val_from, *out;
    struct option_list teachers; /* FILE.onnx or FILE.onnx@WEIGHT; "none" alone: no teacher */
    int ensemble, tta, engine;   /* enum ensemble, teacher_tta, teacher_engine_kind */
    const char *classes;         /* "as-is", "natural" or a file: class_order.h */
    const char *logits;          /* NULL, or which outputs are the classes': output_choice.h */
    int from;                    /* enum teacher_from */
    int check;                   /* TEACHER_CHECK_STOP, ... of teacher_check.h */
    int channels;                /* CHANNELS_RGB, CHANNELS_BGR */
    int views;
    const char *recipe;
    struct option_list features; /* see feature_request.h */
    int feature_views;           /* of features that do not say views=N; 0: all views */
    int size, base;              /* size 0, base -1: the teacher and the data decide */
    double mean[3], std[3];      /* if given on the command line */
    bool mean_given, std_given;
    uint64_t seed;
    int batch; /* 0: the device's usual one */
    int threads;
    const char *device;
    uint64_t gpu_memory, max_memory, partner_memory; /* bytes; 0: what is free; a quarter of the machine's */
    int precision;                                   /* enum precision */
    int part, parts;                                 /* 1-based; 1 of 1 is everything */
    int images;
    int on_bad_image;
    int resize; /* enum image_resize */
    int exif;
    bool dry_run, compare, json, quiet, deterministic, allow_mixed;
    /* filled by dump_options_parse */
    bool help;
    const char *part_text;
    struct option_spec specs[DUMP_SPEC_COUNT];
    struct options table;
};

/* STATUS_USAGE, STATUS_CONFIG. With --help only options->help is set and the help printed to stdout. */
enum status dump_options_parse(struct dump_options *options, int argc, char **argv, struct error *err);
void dump_options_release(struct dump_options *options);

#endif
