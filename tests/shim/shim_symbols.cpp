/* A kernel's name and its static __shared__ variables, from the symbol table of the object that contains it. Such a
 * variable's mangled name is _ZZ<function>E<name>B6shared: the tag comes from the __shared__ of shim_kernel.h. */
#include "shim.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <map>
#include <memory>
#include <set>

struct shared_variable {
    unsigned char *address;
    size_t bytes;
    std::string owner; /* mangled name of the function that it is in */
};

/* A program or shared object that contains kernels. */
struct object {
    std::vector<unsigned char> file;
    const Elf64_Sym *symbols;
    size_t count;
    const char *names;
    unsigned char *base;
    std::vector<struct shared_variable> shared;
    std::set<std::string> kernels; /* mangled names */
};

static std::vector<unsigned char> read_file(const char *path)
{
    std::vector<unsigned char> bytes;
    FILE *const file = fopen(path, "rb");
    if (!file)
        shim_fail("%s: cannot be read for its symbols", path);
    unsigned char part[65536];
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;)
        bytes.insert(bytes.end(), part, part + got);
    fclose(file);
    return bytes;
}

static struct object *read_object(const struct link_map *map)
{
    const char *const path = map->l_name[0] ? map->l_name : "/proc/self/exe";
    struct object *const object = new struct object();
    object->file = read_file(path);
    object->base = (unsigned char *)map->l_addr;
    const unsigned char *const file = object->file.data();
    const Elf64_Ehdr *const header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *const sections = (const Elf64_Shdr *)(file + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        object->symbols = (const Elf64_Sym *)(file + sections[i].sh_offset);
        object->count = sections[i].sh_size / sizeof(Elf64_Sym);
        object->names = (const char *)(file + sections[sections[i].sh_link].sh_offset);
    }
    if (!object->symbols)
        shim_fail("%s is stripped: its __shared__ variables cannot be found", path);
    return object;
}

/* The names of the functions whose entries are in the list that the __global__ of shim_kernel.h makes. */
static void find_kernels(struct object *object)
{
    const unsigned char *const file = object->file.data();
    const Elf64_Ehdr *const header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *const sections = (const Elf64_Shdr *)(file + header->e_shoff);
    const char *const names = (const char *)file + sections[header->e_shstrndx].sh_offset;
    std::set<const unsigned char *> entries;
    for (int i = 0; i < header->e_shnum; i++)
        if (strcmp(names + sections[i].sh_name, "__patchable_function_entries") == 0) {
            const unsigned char *const *const list = (const unsigned char *const *)(object->base + sections[i].sh_addr);
            entries.insert(list, list + sections[i].sh_size / sizeof *list);
        }
    for (size_t i = 0; i < object->count; i++) {
        const Elf64_Sym *const symbol = &object->symbols[i];
        const unsigned char *const start = object->base + symbol->st_value;
        const auto entry = entries.lower_bound(start); /* an instruction may stand before it */
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && entry != entries.end() && *entry < start + symbol->st_size)
            object->kernels.insert(object->names + symbol->st_name);
    }
}

static std::string demangle(const char *mangled)
{
    int status = 0;
    char *const text = abi::__cxa_demangle(mangled, NULL, NULL, &status);
    const std::string name = status == 0 ? text : mangled;
    free(text);
    return name;
}

/* "_Z" + encoding of the function that the __shared__ variable is in; empty for any other symbol. */
static std::string owner_of(const char *symbol)
{
    const char *const end = strstr(symbol, "B6shared");
    if (strncmp(symbol, "_ZZ", 3) != 0 || !end)
        return "";
    for (const char *e = end; e > symbol; e--) { /* E<length><name> right before the tag */
        char *name;
        if (*e == 'E' && e[1] >= '1' && e[1] <= '9' && strtol(e + 1, &name, 10) == end - name)
            return "_Z" + std::string(symbol + 3, e);
    }
    return "";
}

static void find_shared(struct object *object)
{
    for (size_t i = 0; i < object->count; i++) {
        const Elf64_Sym *const symbol = &object->symbols[i];
        const std::string owner = owner_of(object->names + symbol->st_name);
        if (!owner.empty() && ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT)
            object->shared.push_back({object->base + symbol->st_value, symbol->st_size, owner});
    }
}

static struct object *find_object(const void *function)
{
    static std::map<const void *, std::unique_ptr<struct object>> objects;
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(function, &info, (void **)&map, RTLD_DL_LINKMAP))
        shim_fail("%p is no function", function);
    std::unique_ptr<struct object> &entry = objects[info.dli_fbase];
    if (!entry) {
        entry.reset(read_object(map));
        find_shared(entry.get());
        find_kernels(entry.get());
    }
    return entry.get();
}

struct shim_kernel *shim_kernel_find(const void *function)
{
    static std::map<const void *, struct shim_kernel> known;
    const auto found = known.find(function);
    if (found != known.end())
        return &found->second;
    struct shim_kernel *const kernel = &known[function];
    kernel->object = find_object(function);
    kernel->dynamic_limit = 48 << 10;
    std::string mangled;
    for (size_t i = 0; i < kernel->object->count; i++) {
        const Elf64_Sym *const symbol = &kernel->object->symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && kernel->object->base + symbol->st_value == function)
            mangled = kernel->object->names + symbol->st_name;
    }
    kernel->name = demangle(mangled.c_str());
    if (kernel->object->kernels.count(mangled) == 0)
        shim_fail("%s is no __global__ function", kernel->name.c_str());
    for (const struct shared_variable &variable : kernel->object->shared) {
        if (variable.owner == mangled)
            kernel->shared_bytes += variable.bytes;
        if (variable.owner == mangled || kernel->object->kernels.count(variable.owner) == 0)
            kernel->shared.push_back({variable.address, variable.bytes});
    }
    return kernel;
}

void shim_kernel_fill_shared(const struct shim_kernel *kernel)
{
    for (const auto &[address, bytes] : kernel->shared)
        memset(address, 0xff, bytes);
}
