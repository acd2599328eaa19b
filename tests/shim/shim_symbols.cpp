/* A kernel's name and its static __shared__ variables, read from the symbol table of the object that holds it. Such a
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

namespace
{
struct object {
    std::vector<unsigned char> file;
    const Elf64_Sym *symbols;
    size_t count;
    const char *names;
    unsigned char *base;
};
} // namespace

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

static struct object *read_object(const Dl_info &info, const struct link_map *map)
{
    static std::map<const void *, std::unique_ptr<struct object>> objects;
    std::unique_ptr<struct object> &entry = objects[info.dli_fbase];
    if (entry)
        return entry.get();
    entry.reset(new object());
    entry->file = read_file(map->l_name[0] ? map->l_name : "/proc/self/exe");
    entry->base = (unsigned char *)map->l_addr;
    const unsigned char *const file = entry->file.data();
    const Elf64_Ehdr *const header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *const sections = (const Elf64_Shdr *)(file + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        entry->symbols = (const Elf64_Sym *)(file + sections[i].sh_offset);
        entry->count = sections[i].sh_size / sizeof(Elf64_Sym);
        entry->names = (const char *)(file + sections[sections[i].sh_link].sh_offset);
    }
    if (!entry->symbols)
        shim_fail("%s is stripped: its __shared__ variables cannot be found", info.dli_fname);
    return entry.get();
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

struct shim_kernel_symbols *shim_kernel_symbols_of(const void *kernel)
{
    static std::map<const void *, struct shim_kernel_symbols> known;
    const auto found = known.find(kernel);
    if (found != known.end())
        return &found->second;
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(kernel, &info, (void **)&map, RTLD_DL_LINKMAP))
        shim_fail("%p is no function", kernel);
    const struct object *const object = read_object(info, map);
    struct shim_kernel_symbols *const symbols = &known[kernel];
    symbols->dynamic_limit = 48 << 10;
    std::string mangled;
    for (size_t i = 0; i < object->count; i++)
        if (ELF64_ST_TYPE(object->symbols[i].st_info) == STT_FUNC &&
            object->base + object->symbols[i].st_value == (const unsigned char *)kernel)
            mangled = object->names + object->symbols[i].st_name;
    symbols->name = demangle(mangled.c_str());
    for (size_t i = 0; i < object->count; i++) {
        const Elf64_Sym *const symbol = &object->symbols[i];
        const char *const name = object->names + symbol->st_name;
        if (ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT || symbol->st_size == 0)
            continue;
        const std::string owner = owner_of(name);
        if (owner.empty())
            continue;
        symbols->shared.push_back({object->base + symbol->st_value, symbol->st_size});
        if (owner == mangled)
            symbols->shared_bytes += symbol->st_size;
    }
    return symbols;
}
