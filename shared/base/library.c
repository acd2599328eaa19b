#define _GNU_SOURCE
#include "shared/base/library.h"

#include "shared/base/file_calls.h"
#include "shared/base/out_of_memory.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_CAPACITY = 4096 };

/* The folder of the running program. */
static enum status program_folder(char folder[PATH_CAPACITY], struct error *err)
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_CAPACITY - 1);
    if (length < 0 && (errno == EIO || errno == ENOMEM))
        return file_call_failed(err, STATUS_IO, "/proc/self/exe", "cannot find the program's own folder");
    if (length <= 0)
        return error_set(err, STATUS_CONFIG, NULL, "cannot find the program's own folder: check that /proc is mounted");
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    return STATUS_OK;
}

/* The folder of the shared object that holds this code; "" in a program. */
static void object_folder(char folder[PATH_CAPACITY])
{
    Dl_info info;
    struct link_map *object = NULL;
    static const char place = 0; /* an address in this object */
    folder[0] = '\0';
    if (dladdr1(&place, &info, (void **)&object, RTLD_DL_LINKMAP) == 0 || !object || !strchr(object->l_name, '/'))
        return;
    snprintf(folder, PATH_CAPACITY, "%s", object->l_name);
    *strrchr(folder, '/') = '\0';
}

enum status library_path(const char *file, char path[LIBRARY_PATH_SIZE], struct error *err)
{
    static const char *const places[] = {"", "/..", "/../lib/softcache"};
    enum status status = STATUS_OK;
    enum file_kind kind;
    char folder[PATH_CAPACITY];
    path[0] = '\0';
    object_folder(folder);
    if (folder[0])
        snprintf(path, LIBRARY_PATH_SIZE, "%s/%s", folder, file);
    TRY(program_folder(folder, err));
    TRY(file_look(path, &kind, err));
    for (size_t i = 0; i < sizeof places / sizeof *places && kind != FILE_REGULAR; i++) {
        snprintf(path, LIBRARY_PATH_SIZE, "%s%s/%s", folder, places[i], file);
        TRY(file_look(path, &kind, err));
    }
    if (kind != FILE_REGULAR)
        status = error_set(err, STATUS_CONFIG, NULL, "%s is neither in %s nor in %s/../lib/softcache: install it there",
                           file, folder, folder);
cleanup:
    return status;
}

static void *(*set_handler)(void (*)(void)); /* std::set_new_handler */
static rlim_t usual_limit;                   /* of RLIMIT_DATA: a user's or a batch system's */

/* While memory_limit holds a library to less than usual, that library is one that catches what it throws (onnxruntime):
 * without a handler, operator new throws. The limit itself says so, since engines have a memory_limit of their own. */
static void lack_of_memory(void)
{
    struct rlimit data;
    if (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur < usual_limit)
        set_handler(NULL);
    else
        out_of_memory();
}

/* What C++ throws when memory runs out would go through C code, which ends the program without a word. Its operator new
 * calls this handler first. It must be there before a library of C++ is loaded, which makes things at once. Nothing of
 * C++ is needed to build this, and where it is not installed no library needs it. */
static void handle_lack_of_memory(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* decoders are opened by threads */
    void *library = out_of_memory_installed() ? dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    void *symbol = library ? dlsym(library, "_ZSt15set_new_handlerPFvvE") : NULL;
    if (library)
        dlclose(library);
    struct rlimit data;
    if (!symbol)
        return;
    pthread_mutex_lock(&one_at_a_time);
    if (!set_handler) {
        usual_limit = getrlimit(RLIMIT_DATA, &data) == 0 ? data.rlim_cur : 0;
        memcpy(&set_handler, &symbol, sizeof symbol);
    }
    set_handler(lack_of_memory);
    pthread_mutex_unlock(&one_at_a_time);
}

enum status library_symbol(const char *file, const char *name, const void **symbol, struct error *err)
{
    enum status status = STATUS_OK;
    char path[LIBRARY_PATH_SIZE];
    TRY(library_path(file, path, err));
    handle_lack_of_memory();
    /* NODELETE: the libraries behind it keep threads and thread-local memory, and do not survive being unloaded. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return error_set(err, STATUS_CONFIG, path, "cannot be loaded: %s", dlerror());
    *symbol = dlsym(library, name);
    dlclose(library);
    if (!*symbol)
        return error_set(err, STATUS_CONFIG, path, "belongs to another version of this program: install both together");
cleanup:
    return status;
}
