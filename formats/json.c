#include "formats/json.h"

#include "shared/base/digest.h"
#include "shared/base/number_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cJSON's functions that add a field return NULL or false when memory runs out, and a tree would lack the field.
 * Instead of a check behind each of hundreds of calls, its allocator notes that it failed, for each thread. */
static _Thread_local bool out_of_memory;

static void *note_failure(size_t size)
{
    void *block = malloc(size);
    out_of_memory |= !block;
    return block;
}

__attribute__((constructor)) static void install_allocator(void)
{
    cJSON_Hooks hooks = {.malloc_fn = note_failure, .free_fn = free};
    cJSON_InitHooks(&hooks);
}

bool json_out_of_memory(void)
{
    bool failed = out_of_memory;
    out_of_memory = false;
    return failed;
}

cJSON *json_add(cJSON *object, const char *name, cJSON *item)
{
    if (cJSON_AddItemToObject(object, name, item))
        return item;
    cJSON_Delete(item);
    return NULL;
}

cJSON *json_append(cJSON *array, cJSON *item)
{
    if (cJSON_AddItemToArray(array, item))
        return item;
    cJSON_Delete(item);
    return NULL;
}

char *json_text(cJSON *tree, bool compact)
{
    char *text = !tree ? NULL : compact ? cJSON_PrintUnformatted(tree) : cJSON_Print(tree);
    cJSON_Delete(tree);
    if (!json_out_of_memory())
        return text;
    cJSON_free(text);
    return NULL;
}

enum status json_parse(cJSON **root, const char *text, size_t size, const char *path, struct error *err)
{
    const char *end = text;
    json_out_of_memory();
    *root = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (json_out_of_memory()) {
        cJSON_Delete(*root);
        *root = NULL;
        return error_no_memory(err, size, path);
    }
    if (!*root)
        return error_set(err, STATUS_BAD_DATA, path, "is not valid JSON at byte %zu", (size_t)(end - text));
    while (end < text + size && strchr(" \t\r\n", *end) && *end)
        end++;
    if (end != text + size || !cJSON_IsObject(*root)) {
        cJSON_Delete(*root);
        *root = NULL;
        return error_set(err, STATUS_BAD_DATA, path, "is not one JSON object");
    }
    return STATUS_OK;
}

/* ---- seals ---- */

static const char NO_SEAL[] = "0000000000000000000000000000000000000000000000000000000000000000";
/* In a string the quotes around the name would have backslashes, so this is the field itself. */
static const char SEAL_FIELD[] = "\"" JSON_SEAL "\":\t\"";

char *json_sealed_text(cJSON *tree)
{
    char digest[DIGEST_HEX_SIZE], *longer = NULL;
    cJSON_AddStringToObject(tree, JSON_SEAL, NO_SEAL);
    char *text = json_text(tree, false);
    const size_t length = text ? strlen(text) : 0;
    if (text)
        longer = realloc(text, length + 2);
    if (!longer) {
        free(text);
        return NULL;
    }
    memcpy(longer + length, "\n", 2);
    const char *seal = digest_find_seal(longer, length, SEAL_FIELD);
    digest_sealed(longer, length + 1, seal, digest);
    memcpy(longer + (seal - longer), digest, DIGEST_HEX_SIZE - 1);
    return longer;
}

static enum status check_seal(const cJSON *root, const char *text, size_t size, const char *path, struct error *err)
{
    const cJSON *field = cJSON_GetObjectItemCaseSensitive(root, JSON_SEAL);
    const char *seal = field ? digest_find_seal(text, size, SEAL_FIELD) : NULL;
    char digest[DIGEST_HEX_SIZE] = "";
    if (seal)
        digest_sealed(text, size, seal, digest);
    if (!field || (seal && cJSON_IsString(field) && strcmp(field->valuestring, digest) == 0))
        return STATUS_OK;
    return error_set(err, STATUS_BAD_DATA, path,
                     "was changed or damaged: its bytes do not have the SHA-256 that field " JSON_SEAL
                     " says; copy it again, or make it anew");
}

enum status json_parse_sealed(cJSON **root, const char *text, size_t size, const char *path, struct error *err)
{
    enum status status = json_parse(root, text, size, path, err);
    if (status == STATUS_OK)
        status = check_seal(*root, text, size, path, err);
    if (status != STATUS_OK) {
        cJSON_Delete(*root);
        *root = NULL;
    }
    return status;
}

struct json_place json_root(const cJSON *root, const char *path)
{
    return (struct json_place){.node = root, .path = path};
}

static enum status fail(const struct json_place *at, const char *field, const char *what, struct error *err)
{
    const char *dot = at->place[0] && field ? "." : "";
    return error_set(err, STATUS_BAD_DATA, at->path, "field %s%s%s %s", at->place, dot, field ? field : "", what);
}

static enum status find(const struct json_place *at, const char *field, const cJSON **out, struct error *err)
{
    *out = field ? cJSON_GetObjectItemCaseSensitive(at->node, field) : at->node;
    return *out ? STATUS_OK : fail(at, field, "is missing", err);
}

static void set_place(struct json_place *out, const struct json_place *at, const char *field, const cJSON *node)
{
    struct json_place place = {.node = node, .path = at->path};
    snprintf(place.place, sizeof place.place, "%.60s%s%.30s", at->place, at->place[0] ? "." : "", field);
    *out = place;
}

enum status json_object(const struct json_place *at, const char *field, struct json_place *out, struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsObject(node))
        return fail(at, field, "is not an object", err);
    set_place(out, at, field, node);
    return STATUS_OK;
}

enum status json_array(const struct json_place *at, const char *field, int limit, struct json_place *out, int *count,
                       struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsArray(node))
        return fail(at, field, "is not an array", err);
    *count = cJSON_GetArraySize(node);
    if (*count > limit)
        return fail(at, field, "has too many elements", err);
    set_place(out, at, field, node);
    return STATUS_OK;
}

enum status json_element(const struct json_place *array, int index, struct json_place *element, struct error *err)
{
    const cJSON *node = element->node ? element->node->next : array->node->child;
    *element = (struct json_place){.node = node, .path = array->path};
    snprintf(element->place, sizeof element->place, "%.80s[%d]", array->place, index);
    if (!cJSON_IsObject(node) && !cJSON_IsString(node))
        return fail(element, NULL, "must be an object or a string", err);
    return STATUS_OK;
}

enum status json_string(const struct json_place *at, const char *field, struct arena *arena, const char **out,
                        struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsString(node))
        return fail(at, field, "is not a string", err);
    *out = arena_strdup(arena, node->valuestring);
    return *out ? STATUS_OK : error_no_memory(err, strlen(node->valuestring), "a string");
}

enum status json_number(const struct json_place *at, const char *field, double *out, struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsNumber(node) || !isfinite(node->valuedouble))
        return fail(at, field, "is not a number", err);
    *out = node->valuedouble;
    return STATUS_OK;
}

enum status json_integer(const struct json_place *at, const char *field, int64_t low, int64_t high, int64_t *out,
                         struct error *err)
{
    double number;
    enum status status = json_number(at, field, &number, err);
    if (status != STATUS_OK)
        return status;
    if (number != floor(number) || number < (double)low || number > (double)high) {
        char what[96];
        snprintf(what, sizeof what, "must be a whole number from %lld to %lld", (long long)low, (long long)high);
        return fail(at, field, what, err);
    }
    *out = (int64_t)number;
    return STATUS_OK;
}

enum status json_digest(const struct json_place *at, const char *field, char out[65], struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    if (!cJSON_IsString(node) || strlen(node->valuestring) != 64 || strspn(node->valuestring, "0123456789abcdef") != 64)
        return fail(at, field, "must be a SHA-256 of 64 hexadecimal digits", err);
    memcpy(out, node->valuestring, 65);
    return STATUS_OK;
}

enum status json_u64(const struct json_place *at, const char *field, uint64_t *out, struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    uint64_t value = 0;
    const char *digit = cJSON_IsString(node) ? node->valuestring : "";
    do {
        if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value))
            return fail(at, field, "must be a string of decimal digits, below 2^64", err);
    } while (*++digit);
    *out = value;
    return STATUS_OK;
}

enum status json_choice(const struct json_place *at, const char *field, const char *const *names, int count, int *out,
                        struct error *err)
{
    const cJSON *node;
    enum status status = find(at, field, &node, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < count && cJSON_IsString(node); i++) {
        if (strcmp(node->valuestring, names[i]) == 0) {
            *out = i;
            return STATUS_OK;
        }
    }
    return fail(at, field, "has a value that this version does not know", err);
}

static bool is_ignored(const char *name, const char *const *ignore)
{
    for (; *ignore; ignore++)
        if (strcmp(name, *ignore) == 0)
            return true;
    return false;
}

static bool scalars_differ(const cJSON *left, const cJSON *right)
{
    if ((left->type & 0xFF) != (right->type & 0xFF))
        return true;
    if (cJSON_IsString(left))
        return strcmp(left->valuestring, right->valuestring) != 0;
    return cJSON_IsNumber(left) && left->valuedouble != right->valuedouble;
}

/* The first of these fields that is not ignored. */
static const cJSON *skip_ignored(const cJSON *node, const char *const *ignore)
{
    while (node && node->string && is_ignored(node->string, ignore))
        node = node->next;
    return node;
}

/* The field that comes first of the two that follow in their objects: the other one is NULL if its object lacks it. */
static void align_fields(const cJSON **l, const cJSON **r)
{
    if (!*l || !*r || !(*l)->string || strcmp((*l)->string, (*r)->string) == 0)
        return;
    const cJSON *later = *r;
    while (later && strcmp(later->string, (*l)->string) != 0)
        later = later->next;
    *(later ? l : r) = NULL;
}

/* Fields are compared in order, since both trees come from the same serialiser, which leaves some out. */
bool json_difference(const cJSON *left, const cJSON *right, const char *const *ignore, char *path, size_t size,
                     const cJSON **a, const cJSON **b)
{
    *a = left;
    *b = right;
    if (!left || !right || scalars_differ(left, right))
        return left || right;
    if (!cJSON_IsObject(left) && !cJSON_IsArray(left))
        return false;
    const size_t length = strlen(path);
    const cJSON *l = skip_ignored(left->child, ignore), *r = skip_ignored(right->child, ignore);
    for (int index = 0; l || r; index++) {
        const cJSON *x = l, *y = r;
        align_fields(&x, &y);
        const char *name = x ? x->string : y->string;
        if (name)
            snprintf(path + length, size - length, "%s%s", length ? "." : "", name);
        else
            snprintf(path + length, size - length, "[%d]", index);
        if (json_difference(x, y, ignore, path, size, a, b))
            return true;
        path[length] = 0;
        l = skip_ignored(l->next, ignore); /* neither was missing: they are equal */
        r = skip_ignored(r->next, ignore);
    }
    return false;
}

cJSON *json_float(float value)
{
    char text[FLOAT_TEXT_SIZE];
    return cJSON_CreateNumber(strtod(float_text(value, text), NULL));
}
