/* Food-11 (Singla et al. 2016; ML2023 HW13): training/ validation/ evaluation/ with LABEL_INDEX.jpg. In the test sets
 * of the competitions, names have no label (0001.jpg): it is unknown. */
#include "formats/datasets/source_reader.h"

#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOOD11_CLASSES = 11 };
static const char *const food11_classes[FOOD11_CLASSES] = {"Bread",      "Dairy product", "Dessert",        "Egg",
                                                           "Fried food", "Meat",          "Noodles/Pasta",  "Rice",
                                                           "Seafood",    "Soup",          "Vegetable/Fruit"};

/* The label of "LABEL_INDEX.jpg", perhaps out of range; -1 for other names. */
static int parse_label(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    if (digits < 1 || digits > 4 || name[digits] != '_')
        return -1;
    size_t index_digits = strspn(name + digits + 1, "0123456789");
    if (index_digits < 1 || name[digits + 1 + index_digits] != '.')
        return -1;
    return atoi(name);
}

static bool food11_recognises(const char *path, struct error *err)
{
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char name[SOURCE_FOLDER_NAME];
    bool found = false;
    if (source_split_folder(path, SPLIT_TRAIN, name, err) != STATUS_OK || !name[0])
        return false;
    char *folder = path_join(path, name);
    if (!folder)
        error_no_memory(err, strlen(name), "a path");
    if (folder && folder_list(folder, &entries, &count, err) == STATUS_OK)
        for (size_t i = 0; i < count && !found; i++)
            found = !entries[i].is_folder && parse_label(entries[i].name) >= 0 &&
                    image_format_is_image(folder, entries[i].name, err);
    folder_list_free(entries, count);
    free(folder);
    return found;
}

static enum status add_file(struct image_source *source, enum split split, const char *path, const char *folder,
                            const char *file, struct error *err)
{
    char name[4096];
    bool taken;
    enum status status = source_take_file(source, path, file, &taken, err);
    if (status != STATUS_OK || !taken)
        return status;
    int label = parse_label(file);
    if (label >= FOOD11_CLASSES || (label < 0 && split != SPLIT_TEST))
        return error_set(err, STATUS_BAD_DATA, source->path,
                         "%s/%s: names in Food-11 are LABEL_INDEX.jpg with labels 0 to %d; rename or remove it", folder,
                         file, FOOD11_CLASSES - 1);
    snprintf(name, sizeof name, "%s/%s", folder, file);
    return source_add(source, split, name, label, err);
}

static enum status add_split(struct image_source *source, enum split split, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(source_list(source, path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder)
            FAIL(error_set(err, STATUS_BAD_DATA, path, "has a folder %s among LABEL_INDEX.jpg files: move it elsewhere",
                           entries[i].name));
        TRY(add_file(source, split, path, folder, entries[i].name, err));
    }
    if (source->sets[split].count == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path,
                       "the folder has no images: put LABEL_INDEX.jpg files into it, or remove it"));
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

static enum status food11_open(struct image_source *source, struct error *err)
{
    source->classes = food11_classes;
    source->class_count = FOOD11_CLASSES;
    return source_add_splits(source, add_split, err);
}

const struct image_source_format source_food11 = {
    .name = "Food-11",
    .recognises = food11_recognises,
    .open = food11_open,
    .read = source_read_file,
};
