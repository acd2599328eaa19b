#include "formats/datasets/pickle.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_VALUES = 1 << 22, MAX_STACK = 1 << 20, MAX_MARKS = 64 };

struct machine {
    const uint8_t *bytes;
    size_t size, at;
    const char *path;
    struct arena *arena;
    struct error *err;
    struct pickle_value **stack, **memo; /* [stack_capacity], [memo_capacity] of the arena */
    size_t used, stack_capacity, memo_capacity;
    size_t memo_used; /* how many were stored: the index of the next MEMOIZE */
    size_t marks[MAX_MARKS];
    int mark_count;
    size_t values;
};

static enum status damaged(const struct machine *m, const char *what)
{
    return error_set(m->err, STATUS_BAD_DATA, m->path, "is no pickle of plain data: %s near byte %zu", what, m->at);
}

/* ---- values ---- */

/* Room for one more item in an array of the arena. */
static enum status grow(struct machine *m, struct pickle_value ***items, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return STATUS_OK;
    const size_t larger = *capacity ? 2 * *capacity : 16;
    struct pickle_value **copy = arena_alloc(m->arena, larger, sizeof *copy);
    if (!copy)
        return error_no_memory(m->err, larger * sizeof *copy, m->path);
    if (count)
        memcpy(copy, *items, count * sizeof *copy);
    *items = copy;
    *capacity = larger;
    return STATUS_OK;
}

static enum status push(struct machine *m, struct pickle_value *value)
{
    enum status status = grow(m, &m->stack, m->used, &m->stack_capacity);
    if (status == STATUS_OK && m->used >= MAX_STACK)
        status = damaged(m, "too many values");
    if (status == STATUS_OK)
        m->stack[m->used++] = value;
    return status;
}

static enum status push_new(struct machine *m, enum pickle_kind kind, int64_t integer, const uint8_t *bytes,
                            size_t size)
{
    struct pickle_value *value = m->values++ < MAX_VALUES ? arena_alloc(m->arena, 1, sizeof *value) : NULL;
    if (!value)
        return m->values > MAX_VALUES ? damaged(m, "too many values") : error_no_memory(m->err, sizeof *value, m->path);
    *value = (struct pickle_value){.kind = kind, .integer = integer, .bytes = bytes, .size = size};
    return push(m, value);
}

static struct pickle_value *pop(struct machine *m)
{
    const size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    return m->used > floor ? m->stack[--m->used] : NULL;
}

static enum status append(struct machine *m, struct pickle_value *list, struct pickle_value *item)
{
    enum status status = grow(m, &list->items, list->count, &list->capacity);
    if (status == STATUS_OK)
        list->items[list->count++] = item;
    return status;
}

/* Moves the values above `first` into the list or dictionary. */
static enum status collect(struct machine *m, struct pickle_value *into, size_t first)
{
    enum status status = STATUS_OK;
    for (size_t i = first; i < m->used && status == STATUS_OK; i++)
        status = append(m, into, m->stack[i]);
    m->used = first;
    return status;
}

/* ---- reading ---- */

/* An unsigned number of `count` bytes; false at the end of the file. */
static bool read_number(struct machine *m, int count, uint64_t *number)
{
    *number = 0;
    if (m->size - m->at < (size_t)count)
        return false;
    for (int i = count - 1; i >= 0; i--)
        *number = *number << 8 | m->bytes[m->at + (size_t)i];
    m->at += (size_t)count;
    return true;
}

static enum status push_bytes(struct machine *m, int length_bytes)
{
    uint64_t length;
    if (!read_number(m, length_bytes, &length) || length > m->size - m->at)
        return damaged(m, "the data ends in a string");
    const uint8_t *bytes = m->bytes + m->at;
    m->at += (size_t)length;
    return push_new(m, PICKLE_BYTES, 0, bytes, (size_t)length);
}

static enum status push_integer(struct machine *m, int count)
{
    uint64_t number;
    if (!read_number(m, count, &number))
        return damaged(m, "the data ends in a number");
    return push_new(m, PICKLE_INTEGER, count == 4 ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number, NULL, 0);
}

/* A number of up to 8 bytes, whose count comes first, in two's complement. */
static enum status push_long(struct machine *m)
{
    uint64_t count, number;
    if (!read_number(m, 1, &count) || count > 8 || !read_number(m, (int)count, &number))
        return damaged(m, "a number of more than 8 bytes");
    const int unused = 64 - 8 * (int)count;
    return push_new(m, PICKLE_INTEGER, count ? (int64_t)(number << unused) >> unused : 0, NULL, 0);
}

/* "module\nname\n" of a GLOBAL; only what numpy's arrays need has a name. */
static enum status push_global(struct machine *m)
{
    const char *at = (const char *)m->bytes + m->at;
    const char *first = memchr(at, '\n', m->size - m->at);
    const char *second = first ? memchr(first + 1, '\n', m->size - m->at - (size_t)(first + 1 - at)) : NULL;
    if (!second)
        return damaged(m, "the data ends in a name");
    m->at += (size_t)(second + 1 - at);
    return push_new(m, PICKLE_NAME, 0, (const uint8_t *)at, (size_t)(second - at));
}

static bool is_name(const struct pickle_value *value, const char *name)
{
    return value->kind == PICKLE_NAME && value->size == strlen(name) && memcmp(value->bytes, name, value->size) == 0;
}

/* STACK_GLOBAL: module and name are on the stack. */
static enum status join_name(struct machine *m)
{
    struct pickle_value *name = pop(m), *module = pop(m);
    if (!name || !module || name->kind != PICKLE_BYTES || module->kind != PICKLE_BYTES)
        return damaged(m, "a name without its module");
    const size_t size = module->size + 1 + name->size;
    uint8_t *text = arena_alloc(m->arena, size, 1);
    if (!text)
        return error_no_memory(m->err, size, m->path);
    memcpy(text, module->bytes, module->size);
    text[module->size] = '\n';
    memcpy(text + module->size + 1, name->bytes, name->size);
    return push_new(m, PICKLE_NAME, 0, text, size);
}

/* ---- what numpy's arrays are built with ---- */

/* (content, type, shape, order): an array of protocol 5. */
static enum status from_buffer(struct machine *m, const struct pickle_value *arguments)
{
    struct pickle_value *const *items = arguments->items;
    if (arguments->count != 4 || items[0]->kind != PICKLE_BYTES || items[1]->kind != PICKLE_DTYPE ||
        items[2]->kind != PICKLE_LIST || items[3]->kind != PICKLE_BYTES || items[3]->size != 1 ||
        items[3]->bytes[0] != 'C')
        return damaged(m, "an array of an unknown form");
    enum status status = push_new(m, PICKLE_ARRAY, 0, items[0]->bytes, items[0]->size);
    if (status == STATUS_OK) {
        m->stack[m->used - 1]->shape = items[2];
        m->stack[m->used - 1]->dtype = items[1];
    }
    return status;
}

/* REDUCE: a call. Nothing is called: the two functions that an array needs give an empty array and a type. */
static enum status reduce(struct machine *m)
{
    struct pickle_value *arguments = pop(m), *function = pop(m);
    if (!arguments || !function || function->kind != PICKLE_NAME || arguments->kind != PICKLE_LIST)
        return damaged(m, "a call of no function");
    if (is_name(function, "numpy.core.multiarray\n_reconstruct") ||
        is_name(function, "numpy._core.multiarray\n_reconstruct"))
        return push_new(m, PICKLE_ARRAY, 0, NULL, 0);
    if (is_name(function, "numpy.core.numeric\n_frombuffer") || is_name(function, "numpy._core.numeric\n_frombuffer"))
        return from_buffer(m, arguments);
    if (is_name(function, "numpy\ndtype") && arguments->count > 0 && arguments->items[0]->kind == PICKLE_BYTES)
        return push_new(m, PICKLE_DTYPE, 0, arguments->items[0]->bytes, arguments->items[0]->size);
    const int module = (int)strcspn((const char *)function->bytes, "\n"); /* every name has one */
    return error_set(
        m->err, STATUS_BAD_DATA, m->path,
        "would call %.*s.%.*s near byte %zu, which is not done: only lists, numbers, texts and numpy arrays "
        "are read",
        module < 60 ? module : 60, (const char *)function->bytes,
        function->size - (size_t)module < 60 ? (int)function->size - module - 1 : 60,
        (const char *)function->bytes + module + 1, m->at);
}

/* BUILD: an array gets (version, shape, type, in columns, content); a type needs nothing of its state. */
static enum status build(struct machine *m)
{
    struct pickle_value *state = pop(m), *target = pop(m);
    if (!state || !target)
        return damaged(m, "a state without its object");
    if (target->kind == PICKLE_ARRAY) {
        if (state->kind != PICKLE_LIST || state->count != 5 || state->items[1]->kind != PICKLE_LIST ||
            state->items[2]->kind != PICKLE_DTYPE || state->items[3]->integer != 0 ||
            state->items[4]->kind != PICKLE_BYTES)
            return damaged(m, "an array of an unknown form");
        target->shape = state->items[1];
        target->dtype = state->items[2];
        target->bytes = state->items[4]->bytes;
        target->size = state->items[4]->size;
    } else if (target->kind != PICKLE_DTYPE) {
        return damaged(m, "an object that is no array");
    }
    return push(m, target);
}

/* ---- opcodes (pickletools.py) ---- */

static enum status memoize(struct machine *m, uint64_t index)
{
    enum status status = STATUS_OK;
    if (m->used == 0 || index >= MAX_VALUES)
        return damaged(m, "a memo without a value");
    while (index >= m->memo_capacity && status == STATUS_OK)
        status = grow(m, &m->memo, m->memo_capacity, &m->memo_capacity);
    if (status != STATUS_OK)
        return status;
    m->memo[index] = m->stack[m->used - 1];
    m->memo_used++;
    return STATUS_OK;
}

static enum status put_or_get(struct machine *m, int index_bytes, bool put)
{
    uint64_t index;
    if (!read_number(m, index_bytes, &index))
        return damaged(m, "the data ends in an index");
    if (put)
        return memoize(m, index);
    return index < m->memo_capacity && m->memo[index] ? push(m, m->memo[index]) : damaged(m, "an unknown memo");
}

static enum status make_tuple(struct machine *m, size_t count)
{
    struct pickle_value *items[3] = {NULL};
    enum status status = STATUS_OK;
    for (size_t i = count; i-- > 0;)
        if (!(items[i] = pop(m)))
            return damaged(m, "a tuple without its values");
    status = push_new(m, PICKLE_LIST, 0, NULL, 0);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = append(m, m->stack[m->used - 1], items[i]);
    return status;
}

/* TUPLE, APPENDS, SETITEMS: the values since the last mark, into a new tuple or into what is below the mark. */
static enum status collect_marked(struct machine *m, bool tuple, enum pickle_kind kind)
{
    enum status status = STATUS_OK;
    if (m->mark_count == 0)
        return damaged(m, "values without a mark");
    const size_t first = m->marks[--m->mark_count];
    if (!tuple) {
        struct pickle_value *into = first > 0 ? m->stack[first - 1] : NULL;
        if (!into || into->kind != kind || (kind == PICKLE_DICT && (m->used - first) % 2))
            return damaged(m, "values for no list");
        return collect(m, into, first);
    }
    const size_t end = m->used;
    status = push_new(m, PICKLE_LIST, 0, NULL, 0);
    if (status != STATUS_OK)
        return status;
    struct pickle_value *list = m->stack[end];
    m->used = end;
    status = collect(m, list, first);
    return status == STATUS_OK ? push(m, list) : status;
}

/* APPEND, SETITEM: the top one or two values. */
static enum status add_items(struct machine *m, size_t count, enum pickle_kind kind)
{
    const size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    if (m->used < floor + count + 1 || m->stack[m->used - count - 1]->kind != kind)
        return damaged(m, "a value for no list");
    return collect(m, m->stack[m->used - count - 1], m->used - count);
}

static enum status skip(struct machine *m, size_t count)
{
    if (m->size - m->at < count)
        return damaged(m, "the data ends");
    m->at += count;
    return STATUS_OK;
}

static enum status run_opcode(struct machine *m, uint8_t opcode)
{
    switch (opcode) {
    case 0x80: /* PROTO */
        return skip(m, 1);
    case 0x95: /* FRAME */
        return skip(m, 8);
    case '(':
        if (m->mark_count == MAX_MARKS)
            return damaged(m, "too many marks");
        m->marks[m->mark_count++] = m->used;
        return STATUS_OK;
    case 'N':
    case 0x89: /* NEWFALSE */
        return push_new(m, PICKLE_NONE, 0, NULL, 0);
    case 0x88: /* NEWTRUE */
        return push_new(m, PICKLE_NONE, 1, NULL, 0);
    case 'K':
        return push_integer(m, 1);
    case 'M':
        return push_integer(m, 2);
    case 'J':
        return push_integer(m, 4);
    case 0x8a: /* LONG1 */
        return push_long(m);
    case 'U':  /* SHORT_BINSTRING */
    case 'C':  /* SHORT_BINBYTES */
    case 0x8c: /* SHORT_BINUNICODE */
        return push_bytes(m, 1);
    case 'T': /* BINSTRING */
    case 'B': /* BINBYTES */
    case 'X': /* BINUNICODE */
        return push_bytes(m, 4);
    case 0x8e: /* BINBYTES8 */
    case 0x96: /* BYTEARRAY8 */
        return push_bytes(m, 8);
    case ']':
    case ')':
        return push_new(m, PICKLE_LIST, 0, NULL, 0);
    case '}':
        return push_new(m, PICKLE_DICT, 0, NULL, 0);
    case 't':
        return collect_marked(m, true, PICKLE_LIST);
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        return make_tuple(m, opcode - 0x84u);
    case 'e':
        return collect_marked(m, false, PICKLE_LIST);
    case 'u':
        return collect_marked(m, false, PICKLE_DICT);
    case 'a':
        return add_items(m, 1, PICKLE_LIST);
    case 's':
        return add_items(m, 2, PICKLE_DICT);
    case 'q':
        return put_or_get(m, 1, true);
    case 'r':
        return put_or_get(m, 4, true);
    case 'h':
        return put_or_get(m, 1, false);
    case 'j':
        return put_or_get(m, 4, false);
    case 0x94: /* MEMOIZE */
        return memoize(m, m->memo_used);
    case 'c':
        return push_global(m);
    case 0x93: /* STACK_GLOBAL */
        return join_name(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        return error_set(m->err, STATUS_BAD_DATA, m->path, "is no pickle of plain data: opcode 0x%02x at byte %zu",
                         opcode, m->at - 1);
    }
}

enum status pickle_parse(const uint8_t *bytes, size_t size, const char *path, struct arena *arena,
                         const struct pickle_value **value, struct error *err)
{
    enum status status = STATUS_OK;
    struct machine m = {.bytes = bytes, .size = size, .path = path, .arena = arena, .err = err};
    while (m.at < size) {
        const uint8_t opcode = bytes[m.at++];
        if (opcode == '.') {
            *value = pop(&m);
            return *value ? STATUS_OK : damaged(&m, "nothing was built");
        }
        TRY(run_opcode(&m, opcode));
    }
    status = damaged(&m, "the data ends");
cleanup:
    return status;
}

const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    for (size_t i = 0; dict->kind == PICKLE_DICT && i + 1 < dict->count; i += 2) {
        const struct pickle_value *name = dict->items[i];
        if (name->kind == PICKLE_BYTES && name->size == strlen(key) && memcmp(name->bytes, key, name->size) == 0)
            return dict->items[i + 1];
    }
    return NULL;
}
