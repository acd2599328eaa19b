/* ImageFolder, torchvision's layout: train/CLASS/NAME, val/CLASS/NAME, optionally test/CLASS/NAME or unlabelled
 * test/NAME. Classes are numbered in the byte order of the folders in train/. Images may be one folder deeper
 * (train/CLASS/PART/NAME). */
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool imagefolder_recognises(const char *path, struct error *err)
{
    char name[SOURCE_FOLDER_NAME];
    const enum status status = source_split_folder(path, SPLIT_TRAIN, name, err);
    return status == STATUS_OK ? name[0] : status == STATUS_BAD_DATA; /* two of them: opening says so */
}

/* path: folder's own. */
static enum status add_file(struct image_source *source, enum split split, const char *path, const char *folder,
                            const char *file, int label, struct error *err)
{
    char name[4096];
    bool taken;
    enum status status = source_take_file(source, path, file, &taken, err);
    if (status != STATUS_OK || !taken)
        return status;
    snprintf(name, sizeof name, "%s/%s", folder, file);
    return source_add(source, split, name, label, err);
}

/* Adds the images of folder (relative to the data folder) and, if depth > 0, of its subfolders. */
static enum status add_folder(struct image_source *source, enum split split, const char *folder, int label, int depth,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(source_list(source, path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_folder) {
            TRY(add_file(source, split, path, folder, entries[i].name, label, err));
            continue;
        }
        if (depth == 0)
            FAIL(error_set(err, STATUS_BAD_DATA, path,
                           "has a folder %s: images may be in SPLIT/CLASS/ or one folder deeper", entries[i].name));
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", folder, entries[i].name);
        TRY(add_folder(source, split, inner, label, depth - 1, err));
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

static enum status explain_no_images(const struct image_source *source, const char *folder, struct error *err)
{
    char left_out[256], *path = path_join(source->path, folder);
    image_source_describe_left_out(source, left_out, sizeof left_out);
    enum status status =
        error_set(err, STATUS_BAD_DATA, path, "the folder has no images (%s): put some into it, or remove it%s%s",
                  image_formats_read, left_out[0] ? "; left out so far: " : "", left_out);
    free(path);
    return status;
}

/* The number of the class that a folder is for; -1: no folder of the training split has its name. The search begins at
 * `hint`, since folders come in the same order in every split. */
static enum status find_class(const struct image_source *source, const char *folder, int hint, int *label,
                              struct error *err)
{
    char *name = file_name_escape(folder);
    if (!name)
        return error_no_memory(err, strlen(folder), "a class name");
    *label = -1;
    for (int i = 0; i < source->class_count && *label < 0; i++) {
        const int class = (hint + i) % source->class_count;
        *label = strcmp(source->classes[class], name) == 0 ? class : -1;
    }
    free(name);
    return STATUS_OK;
}

static enum status add_class(struct image_source *source, enum split split, const char *split_folder, const char *name,
                             int *next, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t before = source->sets[split].count;
    char folder[4096];
    int label = -1;
    TRY(find_class(source, name, *next, &label, err));
    if (label < 0)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path,
                       "%s/%s: this class has no folder in the training split: classes must be the same in every split",
                       split_folder, name));
    *next = label + 1;
    snprintf(folder, sizeof folder, "%s/%s", split_folder, name);
    TRY(add_folder(source, split, folder, label, 1, err));
    if (source->sets[split].count == before)
        FAIL(explain_no_images(source, folder, err));
cleanup:
    return status;
}

static enum status add_unlabelled(struct image_source *source, enum split split, const char *split_folder,
                                  const char *name, struct error *err)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/%s", split_folder, name);
    return add_folder(source, split, folder, -1, 0, err);
}

/* Torchvision's ImageFolder wants a class folder even for unlabelled photos, so people have test/unknown/ or
 * testing/00/: a test split of more than one class that has one folder only. */
static enum status find_unlabelled(struct image_source *source, enum split split, const char *folder,
                                   const struct folder_entry *entries, size_t count, bool *unlabelled,
                                   struct error *err)
{
    const char *only = NULL;
    size_t folders = 0;
    *unlabelled = false;
    for (size_t i = 0; i < count; i++) {
        folders += entries[i].is_folder;
        only = entries[i].is_folder ? entries[i].name : only;
    }
    *unlabelled = split == SPLIT_TEST && folders == 1 && source->class_count > 1;
    return *unlabelled
               ? source_note(source, err, "%s/%s is the only folder of the test split: its images have no labels",
                             folder, only)
               : STATUS_OK;
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
        char *name = file_name_escape(entries[i].name);
        classes[source->class_count] = name ? arena_strdup(&source->arena, name) : NULL;
        free(name);
        if (!classes[source->class_count])
            return error_no_memory(err, strlen(entries[i].name), "class names");
        source->class_count++;
    }
    return STATUS_OK;
}

static enum status add_split(struct image_source *source, enum split split, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    struct error trouble = {0};
    struct folder_entry *entries = NULL;
    size_t count = 0, folders = 0;
    int next_class = 0;
    bool unlabelled = false;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(source_list(source, path, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        folders += entries[i].is_folder;
    if (split == SPLIT_TRAIN)
        TRY(take_classes(source, entries, count, err));
    TRY(find_unlabelled(source, split, folder, entries, count, &unlabelled, err));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder && unlabelled)
            TRY(add_unlabelled(source, split, folder, entries[i].name, err));
        else if (entries[i].is_folder)
            TRY(add_class(source, split, folder, entries[i].name, &next_class, err));
        else if (folders == 0 && split == SPLIT_TEST)
            TRY(add_file(source, split, path, folder, entries[i].name, -1, err));
        else if (image_format_is_image(path, entries[i].name, &trouble))
            FAIL(error_set(err, STATUS_BAD_DATA, path,
                           "%s is beside the class folders: move it into the folder of its class", entries[i].name));
        else if (trouble.code != STATUS_OK)
            FAIL(error_pass(err, &trouble));
        else
            TRY(add_file(source, split, path, folder, entries[i].name, -1, err)); /* it is left out */
    }
    if (source->sets[split].count == 0)
        FAIL(explain_no_images(source, folder, err));
    qsort(source->sets[split].samples, source->sets[split].count, sizeof *source->sets[split].samples, compare_samples);
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

static enum status imagefolder_open(struct image_source *source, struct error *err)
{
    return source_add_splits(source, add_split, err);
}

const struct image_source_format source_imagefolder = {
    .name = "ImageFolder",
    .recognises = imagefolder_recognises,
    .open = imagefolder_open,
    .read = source_read_file,
};
