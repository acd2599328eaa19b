/* ImageFolder, torchvision's layout: train/CLASS/NAME.jpg, val/CLASS/NAME.jpg, optionally test/CLASS/NAME.jpg or
 * unlabelled test/NAME.jpg. Classes are numbered in the byte order of the folders in train/. Images may be one folder
 * deeper (train/CLASS/PART/NAME.jpg). */
#include "formats/datasets/source_reader.h"

#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was in a folder, to explain why it has no images. */
struct listing {
    size_t jpegs, others;
    char other[64]; /* extension of one of the others */
};

static bool imagefolder_recognises(const char *path)
{
    const char *name = NULL;
    return source_split_folder(path, SPLIT_TRAIN, &name, NULL) != STATUS_OK || name;
}

static enum status add_file(struct image_source *source, enum split split, const char *folder, const char *file,
                            int label, struct listing *listing, struct error *err)
{
    char name[4096];
    if (!source_is_jpeg(file)) {
        const char *dot = strrchr(file, '.');
        snprintf(listing->other, sizeof listing->other, "%s", dot ? dot : file);
        listing->others++;
        source->ignored++;
        return STATUS_OK;
    }
    snprintf(name, sizeof name, "%s/%s", folder, file);
    listing->jpegs++;
    return source_add(source, split, name, label, err);
}

/* Adds the images of folder (relative to the data folder) and, if depth > 0, of its subfolders. */
static enum status add_folder(struct image_source *source, enum split split, const char *folder, int label, int depth,
                              struct listing *listing, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_folder) {
            TRY(add_file(source, split, folder, entries[i].name, label, listing, err));
            continue;
        }
        if (depth == 0)
            TRY(error_set(err, STATUS_BAD_DATA, path,
                          "has a folder %s: images may be in SPLIT/CLASS/ or one folder deeper", entries[i].name));
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", folder, entries[i].name);
        TRY(add_folder(source, split, inner, label, depth - 1, listing, err));
    }
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

static int compare_samples(const void *a, const void *b)
{
    const struct image_sample *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label) : strcmp(x->name, y->name);
}

static enum status explain_no_jpeg(const char *path, const struct listing *listing, struct error *err)
{
    if (listing->others == 0)
        return error_set(err, STATUS_BAD_DATA, path, "the folder has no images: put .jpg files into it, or remove it");
    return error_set(err, STATUS_BAD_DATA, path,
                     "the folder has no .jpg or .jpeg file, but %zu other files (%s): convert them to JPEG",
                     listing->others, listing->other);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status add_class(struct image_source *source, enum split split, const char *split_folder, const char *name,
                             struct error *err)
{
    struct listing listing = {0};
    char folder[4096];
    const char *const *class =
        bsearch(&name, source->classes, (size_t)source->class_count, sizeof *class, compare_names);
    if (!class)
        return error_set(
            err, STATUS_BAD_DATA, source->path,
            "%s/%s: this class has no folder in the training split: classes must be the same in every split",
            split_folder, name);
    snprintf(folder, sizeof folder, "%s/%s", split_folder, name);
    enum status status = add_folder(source, split, folder, (int)(class - source->classes), 1, &listing, err);
    if (status == STATUS_OK && listing.jpegs == 0) {
        char *path = path_join(source->path, folder);
        status = explain_no_jpeg(path ? path : folder, &listing, err);
        free(path);
    }
    return status;
}

/* The classes are the folders of the training split. */
static enum status take_classes(struct image_source *source, const struct folder_entry *entries, size_t count,
                                struct error *err)
{
    const char **classes = arena_alloc(&source->arena, count + 1, sizeof *classes);
    if (!classes)
        return error_no_memory(err, count, "class names");
    source->classes = classes;
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_folder)
            continue;
        if (source->class_count == SOURCE_MAX_CLASSES)
            return error_set(err, STATUS_BAD_DATA, source->path, "more than %d classes", SOURCE_MAX_CLASSES);
        classes[source->class_count] = arena_strdup(&source->arena, entries[i].name);
        if (!classes[source->class_count])
            return error_no_memory(err, strlen(entries[i].name), "class names");
        source->class_count++;
    }
    return STATUS_OK;
}

static enum status add_split(struct image_source *source, enum split split, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    struct listing loose = {0}; /* files beside the class folders */
    struct folder_entry *entries = NULL;
    size_t count = 0, folders = 0;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        folders += entries[i].is_folder;
    if (split == SPLIT_TRAIN)
        TRY(take_classes(source, entries, count, err));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder)
            TRY(add_class(source, split, folder, entries[i].name, err));
        else if (folders == 0 && split == SPLIT_TEST)
            TRY(add_file(source, split, folder, entries[i].name, -1, &loose, err));
        else if (source_is_jpeg(entries[i].name))
            TRY(error_set(err, STATUS_BAD_DATA, path,
                          "%s is beside the class folders: move it into the folder of its class", entries[i].name));
        else
            source->ignored++;
    }
    if (source->sets[split].count == 0)
        TRY(explain_no_jpeg(path, &loose, err));
    qsort(source->sets[split].samples, source->sets[split].count, sizeof *source->sets[split].samples, compare_samples);
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

static enum status imagefolder_open(struct image_source *source, struct error *err)
{
    return source_add_splits(source, add_split,
                             "has no val/ folder: move some images of each class into val/CLASS/, to evaluate on", err);
}

const struct image_source_format source_imagefolder = {
    .name = "ImageFolder",
    .recognises = imagefolder_recognises,
    .open = imagefolder_open,
    .read = source_read_file,
};
