/* What a disk may hold after the power failed: replays a record of file_recorder.c up to every event, in several ways,
 * and makes the folder of one such state. Not a test; scripts/torture.sh runs the programs on the folders.
 *
 *   power_loss RECORD            prints how many states differ
 *   power_loss RECORD N FOLDER   makes state N (from 0) in a new folder, and prints how it came about
 *
 * The model is a file system that keeps only what it promises. A name that was made, renamed or removed is on the disk
 * for certain once its folder was synced; later operations on names reach the disk in their order, all or none or some
 * of them. A file's bytes are on the disk for certain once the file was synced; of what was written later there may be
 * nothing, half, or zeros in its place, whatever became of the name. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096, MAX_NAMES = 4096, MAX_EVENTS = 1 << 16 };
enum operation { CREATE, CLEAR, MKDIR, UNLINK, RENAME, SYNC, CONTENT, FOLDER, OPERATION_COUNT };
static const char *const words[OPERATION_COUNT] = {"create", "clear", "mkdir",   "unlink",
                                                   "rename", "sync",  "content", "folder"};

struct bytes {
    const char *at; /* in the record */
    size_t size;
};

struct event {
    enum operation operation;
    char *path, *to;
    struct bytes bytes;
};

/* A file, whatever its names are. */
struct file {
    struct bytes synced, latest;
    bool folder, changed; /* changed: latest may not be on the disk */
};

/* A name of the whole tree, and the file that it leads to. */
struct name {
    char *path;
    int file;
};

struct tree {
    struct name names[MAX_NAMES];
    int count;
};

static struct event events[MAX_EVENTS];
static int event_count;
static struct file files[MAX_NAMES];
static int file_count;

static void fail(const char *why)
{
    fprintf(stderr, "power_loss: %s\n", why);
    exit(70);
}

static char *copy_of(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy)
        fail("out of memory");
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

static void read_record(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || stat(path, &info) != 0)
        fail("no record");
    char *text = malloc((size_t)info.st_size + 1);
    if (!text || fread(text, 1, (size_t)info.st_size, file) != (size_t)info.st_size)
        fail("the record cannot be read");
    fclose(file);
    for (const char *at = text, *end = text + info.st_size; at < end;) {
        struct event *e = &events[event_count++];
        const char *line = memchr(at, '\n', (size_t)(end - at)), *space = memchr(at, ' ', (size_t)(end - at));
        if (event_count == MAX_EVENTS || !line || !space || space > line)
            fail("the record is damaged");
        for (e->operation = CREATE; e->operation < OPERATION_COUNT; e->operation++)
            if (strlen(words[e->operation]) == (size_t)(space - at) &&
                memcmp(words[e->operation], at, (size_t)(space - at)) == 0)
                break;
        const char *tab = memchr(space, '\t', (size_t)(line - space));
        e->path = copy_of(space + 1, (size_t)((tab ? tab : line) - space - 1));
        at = line + 1;
        if (e->operation == RENAME && tab)
            e->to = copy_of(tab + 1, (size_t)(line - tab - 1));
        else if ((e->operation == SYNC || e->operation == CONTENT) && tab) {
            e->bytes = (struct bytes){at, strtoull(tab + 1, NULL, 10)};
            at += e->bytes.size;
        } else if (tab || e->operation == OPERATION_COUNT)
            fail("the record is damaged");
    }
}

/* ---- names ---- */

static int find(const struct tree *tree, const char *path)
{
    for (int i = 0; i < tree->count; i++)
        if (strcmp(tree->names[i].path, path) == 0)
            return i;
    return -1;
}

static void put_name(struct tree *tree, char *path, int file)
{
    int i = find(tree, path);
    if (i < 0)
        i = tree->count++;
    if (i >= MAX_NAMES)
        fail("too many names");
    tree->names[i] = (struct name){path, file};
}

static void remove_name(struct tree *tree, const char *path)
{
    const int i = find(tree, path);
    if (i >= 0)
        tree->names[i] = tree->names[--tree->count];
}

/* What an event does to names; `made` is the file of a name that it makes. */
static void change_names(struct tree *tree, const struct event *e, int made)
{
    const int i = find(tree, e->path);
    if (e->operation == CREATE || e->operation == MKDIR)
        put_name(tree, e->path, made);
    else if (e->operation == UNLINK)
        remove_name(tree, e->path);
    else if (e->operation == RENAME && i >= 0) {
        const int file = tree->names[i].file;
        remove_name(tree, e->path);
        put_name(tree, e->to, file);
    }
}

static bool is_in(const char *path, const char *folder)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) : 0;
    return strcmp(folder, ".") == 0 ? !slash : slash && strlen(folder) == length && memcmp(path, folder, length) == 0;
}

/* ---- states ---- */

enum data_fate { DATA_SYNCED, DATA_ZEROS, DATA_HALF, DATA_ALL, DATA_FATES };
static const char *const fates[DATA_FATES] = {"only what was synced", "zeros", "half", "all"};
enum { NAME_FATES = 4 }; /* of the pending operations on names: none, a third, two thirds, all */

struct state {
    int event, names;
    enum data_fate data;
    struct tree tree;
};

static struct bytes content_of(const struct file *file, enum data_fate fate, bool *zeros)
{
    *zeros = false;
    if (!file->changed || fate == DATA_ALL)
        return file->changed ? file->latest : file->synced;
    if (fate == DATA_SYNCED)
        return file->synced;
    *zeros = fate == DATA_ZEROS;
    return (struct bytes){file->latest.at, fate == DATA_HALF ? file->latest.size / 2 : file->latest.size};
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t size, bool zeros)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (zeros ? 0 : ((const unsigned char *)bytes)[i])) * UINT64_C(0x100000001b3);
    return (hash ^ size) * UINT64_C(0x100000001b3);
}

/* Of names and contents, whatever their order. */
static uint64_t hash_of(const struct state *state)
{
    uint64_t sum = 1;
    for (int i = 0; i < state->tree.count; i++) {
        const struct name *name = &state->tree.names[i];
        bool zeros;
        const struct bytes bytes = content_of(&files[name->file], state->data, &zeros);
        uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), name->path, strlen(name->path), false);
        sum += files[name->file].folder ? hash : mix(hash, bytes.at, bytes.size, zeros);
    }
    return sum;
}

static void make_state(const struct state *state, const char *folder)
{
    char path[2 * PATH_SIZE];
    mkdir(folder, 0777);
    for (size_t length = 1; length < PATH_SIZE; length++) /* folders come before what is in them */
        for (int i = 0; i < state->tree.count; i++) {
            const struct name *name = &state->tree.names[i];
            bool zeros;
            const struct bytes bytes = content_of(&files[name->file], state->data, &zeros);
            if (strlen(name->path) != length)
                continue;
            snprintf(path, sizeof path, "%.4000s/%.4000s", folder, name->path);
            if (files[name->file].folder) {
                mkdir(path, 0777);
                continue;
            }
            FILE *file = fopen(path, "wb"); /* its folder may have been lost: then so is the file */
            for (size_t at = 0; file && at < bytes.size; at++)
                fputc(zeros ? 0 : bytes.at[at], file);
            if (file)
                fclose(file);
        }
    printf("power fails after event %d (%s %s); operations on names that were not synced: %d of 3 thirds are there; "
           "bytes: %s\n",
           state->event, words[events[state->event].operation], events[state->event].path, state->names,
           fates[state->data]);
}

/* The bytes and names that everybody sees, after one more event. */
static void follow(struct tree *seen, int *made, const struct event *e)
{
    const int i = find(seen, e->path);
    *made = -1;
    if (e->operation == CREATE || e->operation == MKDIR) {
        *made = file_count++;
        if (file_count > MAX_NAMES)
            fail("too many files");
        files[*made].folder = e->operation == MKDIR;
    } else if (i >= 0 && e->operation != FOLDER) {
        struct file *file = &files[seen->names[i].file];
        if (e->operation == SYNC)
            *file = (struct file){.synced = e->bytes, .latest = e->bytes};
        else if (e->operation == CONTENT || e->operation == CLEAR) {
            file->latest = e->bytes;
            file->changed = e->bytes.size != file->synced.size ||
                            (e->bytes.size > 0 && memcmp(e->bytes.at, file->synced.at, e->bytes.size) != 0);
        }
    }
    change_names(seen, e, *made);
}

int main(int argc, char **argv)
{
    static struct tree seen, durable;
    static struct state state;
    static int pending[MAX_EVENTS], made[MAX_EVENTS];
    static uint64_t known[MAX_EVENTS * 16];
    int pending_count = 0, count = 0;
    if (argc != 2 && argc != 4)
        fail("usage: power_loss RECORD [N FOLDER]");
    const int wanted = argc == 4 ? atoi(argv[2]) : -1;
    read_record(argv[1]);
    for (int n = 0; n < event_count; n++) {
        const struct event *e = &events[n];
        follow(&seen, &made[n], e);
        if (e->operation == CREATE || e->operation == MKDIR || e->operation == UNLINK || e->operation == RENAME)
            pending[pending_count++] = n;
        if (e->operation == FOLDER) { /* the operations on names in this folder are on the disk */
            int left = 0;
            for (int i = 0; i < pending_count; i++)
                if (is_in(events[pending[i]].path, e->path))
                    change_names(&durable, &events[pending[i]], made[pending[i]]);
                else
                    pending[left++] = pending[i];
            pending_count = left;
        }
        for (int names = 0; names < NAME_FATES; names++)
            for (enum data_fate data = DATA_SYNCED; data < DATA_FATES; data++) {
                state.event = n, state.names = names, state.data = data;
                state.tree = durable;
                for (int i = 0; i < (pending_count * names + 2) / 3; i++)
                    change_names(&state.tree, &events[pending[i]], made[pending[i]]);
                const uint64_t hash = hash_of(&state);
                bool old = false;
                for (int i = 0; i < count && !old; i++)
                    old = known[i] == hash;
                if (old)
                    continue;
                if (count == wanted) {
                    make_state(&state, argv[3]);
                    return 0;
                }
                known[count++] = hash;
            }
    }
    if (wanted >= 0)
        fail("there are fewer states");
    printf("%d\n", count);
    return 0;
}
