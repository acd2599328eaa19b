/* Where libonnxruntime lies on this machine. */
#define _GNU_SOURCE
#include "shared/inference/onnxruntime/ort_library.h"

#include "shared/base/files.h"
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool ort_file_in(const char *folder, char *file, size_t size)
{
    static const char name[] = "libonnxruntime.so";
    struct folder_entry *entries = NULL;
    size_t count = 0;
    bool found = false;
    if (!folder_exists(folder) || folder_list(folder, &entries, &count, NULL) != STATUS_OK)
        return false;
    for (size_t i = 0; i < count && !found; i++) {
        const char *entry = entries[i].name;
        const size_t length = sizeof name - 1;
        if (!entries[i].is_folder && strncmp(entry, name, length) == 0 && (entry[length] == 0 || entry[length] == '.'))
            found = snprintf(file, size, "%s/%s", folder, entry) < (int)size;
    }
    folder_list_free(entries, count);
    return found;
}

/* The first line that a Python program prints, or "". */
static void python_line(const char *python, const char *text, int out, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    char *const arguments[] = {(char *)(uintptr_t)python, "-c", (char *)(uintptr_t)text, NULL};
    *child = -1;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return;
    if (posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&actions, out, 1) == 0 &&
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0 &&
        posix_spawnp(child, python, &actions, NULL, arguments, environ) != 0)
        *child = -1;
    posix_spawn_file_actions_destroy(&actions);
}

bool ort_python_folder(const char *python, char *folder, size_t size)
{
    /* Finds the package without importing it. The current folder is no place for packages. */
    static const char text[] = "import sys, importlib.util as u\n"
                               "sys.path = [p for p in sys.path if p]\n"
                               "s = u.find_spec('onnxruntime')\n"
                               "print(s.submodule_search_locations[0])\n";
    int ends[2], code = -1;
    size_t used = 0;
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    python_line(python, text, ends[1], &child);
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && used<size - 1; used += got> 0 ? (size_t)got : 0)
        got = read(ends[0], folder + used, size - 1 - used);
    close(ends[0]);
    folder[used] = 0;
    folder[strcspn(folder, "\n")] = 0;
    if (child < 0 || waitpid(child, &code, 0) != child || !WIFEXITED(code) || WEXITSTATUS(code) != 0)
        return false;
    return folder[0] == '/';
}
