/* The names that weights have in the module's state_dict.
 *
 * Most initialisers keep them. PyTorch's exporters lose a name when they fold or join constants: they write
 * onnx::Conv_123 or val_12 for a weight that was transposed, unsqueezed or had a batch norm folded into it, and one
 * initialiser (behind Identity nodes, or read by several) for parameters that happen to have equal values. The operator
 * still tells its module: by its name, /features/features.0/Conv, or in its metadata, ['', 'features', 'features.0',
 * 'conv2d']. */
#define _GNU_SOURCE
#include "formats/onnx/onnx_names.h"

#include <stdio.h>
#include <string.h>

/* ---- module paths ---- */

/* "/layer1/layer1.0/conv1/Conv" is layer1.0.conv1: a part that begins with the part before it replaces that one. */
static bool path_of_name(const char *name, char *path, size_t capacity)
{
    size_t used = 0, part = 0; /* path[part..used): the last part */
    path[0] = 0;
    if (name[0] != '/')
        return false;
    for (const char *at = name + 1, *end; (end = strchr(at, '/')) != NULL; at = end + 1) {
        const size_t length = (size_t)(end - at), last = used - part;
        const bool continues = used > 0 && length > last && memcmp(at, path + part, last) == 0 && at[last] == '.';
        if (used + length + 2 > capacity)
            return false;
        if (continues)
            used = part;
        else if (used > 0)
            path[used++] = '.', part = used;
        memcpy(path + used, at, length);
        used += length;
        path[used] = 0;
    }
    return used > 0;
}

/* The text in quotes of "['', 'features', 'features.0', 'conv2d']" that is the `from_end`-th from the end, 0: the
 * last. */
bool onnx_metadata_part(const struct onnx_text *list, int from_end, struct onnx_text *part)
{
    struct onnx_text last[2] = {{0}};
    for (size_t i = 0; i < list->size; i++) {
        if (list->text[i] != '\'' && list->text[i] != '"')
            continue;
        const char *begin = list->text + i + 1, *end = memchr(begin, list->text[i], list->size - i - 1);
        if (!end)
            return false;
        last[1] = last[0];
        last[0] = (struct onnx_text){begin, (size_t)(end - begin)};
        i = (size_t)(end - list->text);
    }
    *part = last[from_end];
    return part->text != NULL;
}

/* A protobuf varint; false: the bytes end. */
static bool take_size(const uint8_t **at, const uint8_t *end, size_t *size)
{
    *size = 0;
    for (int shift = 0; *at < end && shift < 28; shift += 7) {
        const uint8_t byte = *(*at)++;
        *size |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return *size <= (size_t)(end - *at);
    }
    return false;
}

/* Metadata of nodes and graphs, where the schema that was compiled knows it (onnx.proto of Debian 13). */
static bool find_known(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const char *key,
                       struct onnx_text *value)
{
    const uint8_t *const base = (const uint8_t *)message;
    const size_t count = *(const size_t *)(base + field->quantifier_offset);
    Onnx__StringStringEntryProto *const *entries =
        *(Onnx__StringStringEntryProto *const *const *)(base + field->offset);
    for (size_t i = 0; i < count; i++) {
        if (!entries[i]->key || !entries[i]->value || strcmp(entries[i]->key, key) != 0)
            continue;
        *value = (struct onnx_text){entries[i]->value, strlen(entries[i]->value)};
        return true;
    }
    return false;
}

/* Where the schema is older than metadata (Debian 12), their messages of key and value, with their length before them,
 * are among the unknown fields. */
static bool find_unknown(const ProtobufCMessage *message, uint32_t number, const char *key, struct onnx_text *value)
{
    enum { KEY = 1 << 3 | 2, VALUE = 2 << 3 | 2 };
    for (unsigned i = 0; i < message->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
        const uint8_t *at = field->data, *end = at + field->len;
        size_t size;
        bool found = false;
        if (field->tag != number || !take_size(&at, end, &size))
            continue;
        while (at < end) {
            const uint8_t tag = *at++;
            if ((tag != KEY && tag != VALUE) || !take_size(&at, end, &size))
                break;
            *value = tag == VALUE ? (struct onnx_text){(const char *)at, size} : *value;
            if (tag == KEY)
                found = size == strlen(key) && memcmp(at, key, size) == 0;
            else if (found)
                return true;
            at += size;
        }
    }
    return false;
}

static bool find_metadata(const ProtobufCMessage *message, uint32_t number, const char *key, struct onnx_text *value)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(message->descriptor, number);
    return field ? find_known(message, field, key, value) : find_unknown(message, number, key, value);
}

bool onnx_metadata(const Onnx__NodeProto *node, const char *key, struct onnx_text *value)
{
    return find_metadata(&node->base, 9, key, value);
}

enum onnx_state onnx_state_of(const struct onnx_reader *reader, const char *name)
{
    struct onnx_text list;
    char text[2 * NODE_MAX_NAME];
    static const struct {
        const char *format;
        enum onnx_state state;
    } lines[] = {{": PARAMETER target='%s'\n", ONNX_PARAMETER},
                 {": BUFFER target='%s' persistent=True\n", ONNX_BUFFER},
                 {": BUFFER target='%s' persistent=False\n", ONNX_ABSENT}};
    if (!find_metadata(&reader->model->base, 16, "pkg.torch.export.ExportedProgram.graph_signature", &list))
        return ONNX_UNKNOWN;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const int length = snprintf(text, sizeof text, lines[i].format, name);
        if (length < (int)sizeof text && memmem(list.text, list.size, text, (size_t)length))
            return lines[i].state;
    }
    return ONNX_ABSENT;
}

bool onnx_scope(const Onnx__NodeProto *node, char *path, size_t capacity)
{
    struct onnx_text scopes, part;
    if (!onnx_metadata(node, "pkg.torch.onnx.name_scopes", &scopes) || !onnx_metadata_part(&scopes, 1, &part) ||
        part.size == 0 || part.size + 1 > capacity)
        return false;
    memcpy(path, part.text, part.size);
    path[part.size] = 0;
    return true;
}

static bool module_path(const Onnx__NodeProto *node, char *path, size_t capacity)
{
    return onnx_scope(node, path, capacity) || path_of_name(node->name ? node->name : "", path, capacity);
}

/* ---- names ---- */

/* A name that an exporter has made: onnx::Conv_123, val_12, 123. */
static bool is_made_up(const char *name)
{
    if (strncmp(name, "onnx::", 6) == 0)
        return true;
    const char *digits = strncmp(name, "val_", 4) == 0 ? name + 4 : name;
    return *digits && strspn(digits, "0123456789") == strlen(digits);
}

/* Whether exporters have put an Identity before the value, because another parameter has equal numbers. */
static bool is_joined(const struct onnx_reader *reader, const struct onnx_value *value)
{
    return onnx_maker(reader, value, "Identity");
}

bool onnx_is_made_up(const struct onnx_reader *reader, const struct onnx_value *value)
{
    return is_joined(reader, value) || is_made_up(value->source ? value->source->name : value->name);
}

/* Whether %name is an argument of a call: "(args = (%x, %name, ". */
static bool has_placeholder(const struct onnx_text *call, const char *name, size_t length)
{
    char text[2 * NODE_MAX_NAME];
    const int written = snprintf(text, sizeof text, "%%%.*s", (int)length, name);
    if (length == 0 || written >= (int)sizeof text)
        return false;
    for (const char *at = call->text, *end = at + call->size; at < end; at += written) {
        at = memmem(at, (size_t)(end - at), text, (size_t)written);
        if (!at)
            return false;
        if (at + written < end && (at[written] == ',' || at[written] == ')'))
            return true;
    }
    return false;
}

/* Whether the operator's call in PyTorch has the parameter `name` among its arguments: "(args = (%x, %p_conv_weight, ".
 * The list of parameters tells how it is called there. */
static bool is_argument(const struct onnx_reader *reader, const char *name)
{
    struct onnx_text list, call;
    char text[2 * NODE_MAX_NAME];
    const int length = snprintf(text, sizeof text, " target='%s'", name);
    if (length >= (int)sizeof text || !onnx_metadata(reader->op, "pkg.torch.onnx.fx_node", &call) ||
        !find_metadata(&reader->model->base, 16, "pkg.torch.export.ExportedProgram.graph_signature", &list))
        return false;
    const char *line = memmem(list.text, list.size, text, (size_t)length), *begin = line;
    while (begin && begin > list.text && begin[-1] != '\n')
        begin--;
    line = begin ? memchr(begin, ':', (size_t)(line - begin)) : NULL;
    return line && has_placeholder(&call, begin, (size_t)(line - begin));
}

/* If one parameter is among the arguments of the operator's call, writes its name: the one that the exporter has joined
 * with another. */
static void take_only_argument(const struct onnx_reader *reader, char *name, size_t capacity)
{
    static const char mark[] = ": PARAMETER target='";
    struct onnx_text list, call, target = {0};
    int count = 0;
    if (!onnx_metadata(reader->op, "pkg.torch.onnx.fx_node", &call) ||
        !find_metadata(&reader->model->base, 16, "pkg.torch.export.ExportedProgram.graph_signature", &list))
        return;
    for (const char *at = list.text, *end = at + list.size; at < end;) {
        const char *line = at, *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        at = stop + 1;
        const char *found = memmem(line, (size_t)(stop - line), mark, strlen(mark));
        if (!found || !has_placeholder(&call, line, (size_t)(found - line)))
            continue;
        const char *begin = found + strlen(mark), *quote = memchr(begin, '\'', (size_t)(stop - begin));
        if (!quote || (size_t)(quote - begin) >= capacity)
            return;
        target = (struct onnx_text){begin, (size_t)(quote - begin)};
        count++;
    }
    if (count == 1)
        snprintf(name, capacity, "%.*s", (int)target.size, target.text);
}

/* Whether the dynamo exporter has let several modules read the value, because their parameters have equal numbers; not
 * if it is one parameter of several modules. */
static bool is_joined_by_readers(const struct onnx_reader *reader, const struct onnx_value *value, const char *name)
{
    struct onnx_text scopes;
    const struct onnx_value *from = value->source ? value->source : value;
    return from->readers > 1 && onnx_metadata(reader->op, "pkg.torch.onnx.name_scopes", &scopes) &&
           strcmp(from->name, name) != 0 && !is_argument(reader, from->name);
}

const char *onnx_weight_name(const struct onnx_reader *reader, const struct onnx_value *value, const char *role,
                             int sibling, char text[ONNX_WEIGHT_NAME])
{
    static const char weight[] = ".weight";
    char path[NODE_MAX_NAME];
    const char *own = value->source ? value->source->name : value->name;
    const char *beside = sibling >= 0 ? reader->graph->weights[sibling].name : "";
    const size_t length = strlen(beside);
    if (length > strlen(weight) && strcmp(beside + length - strlen(weight), weight) == 0)
        snprintf(text, ONNX_WEIGHT_NAME, "%.*s.%s", (int)(length - strlen(weight)), beside, role);
    else if (module_path(reader->op, path, sizeof path))
        snprintf(text, ONNX_WEIGHT_NAME, "%s.%s", path, role);
    else
        return own;
    if (!onnx_is_made_up(reader, value) && !is_joined_by_readers(reader, value, text))
        return own;
    if (onnx_state_of(reader, text) == ONNX_ABSENT)
        take_only_argument(reader, text, ONNX_WEIGHT_NAME);
    return text;
}

static bool is_in_state(const struct onnx_reader *reader, const char *name)
{
    const enum onnx_state state = onnx_state_of(reader, name);
    return state == ONNX_PARAMETER || state == ONNX_BUFFER;
}

enum status onnx_note_other_name(struct onnx_reader *reader, const char *own, const char *role)
{
    enum status status = STATUS_OK;
    char path[NODE_MAX_NAME], name[2 * NODE_MAX_NAME];
    int index;
    if (!reader->options.student || !onnx_scope(reader->op, path, sizeof path))
        return STATUS_OK;
    snprintf(name, sizeof name, "%s.%s", path, role);
    if (strcmp(name, own) == 0 || !is_in_state(reader, name) || !is_argument(reader, own) ||
        graph_find_weight(reader->graph, name) >= 0)
        return STATUS_OK;
    TRY(onnx_new_weight(reader, name, (const int[]){1}, 1, false, &index));
    reader->graph->weights[index].copy_of = arena_strdup(&reader->graph->arena, own);
    if (!reader->graph->weights[index].copy_of)
        FAIL(error_no_memory(reader->err, NODE_MAX_NAME, "a name"));
cleanup:
    return status;
}
