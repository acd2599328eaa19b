/* The names that weights have in the module's state_dict.
 *
 * Most initialisers keep them. PyTorch's exporters lose a name when they fold or join constants: they write
 * onnx::Conv_123 or val_12 for a weight that was transposed, unsqueezed or had a batch norm folded into it, and one
 * initialiser (behind Identity nodes, or read by several) for parameters that happen to have equal values. The operator
 * still tells its module: by its name, /features/features.0/Conv, or in its metadata, ['', 'features', 'features.0',
 * 'conv2d']. */
#define _GNU_SOURCE
#include "formats/onnx/onnx_reader.h"

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

/* The part before the last of "['', 'features', 'features.0', 'conv2d']". */
static bool path_of_scopes(const char *text, size_t size, char *path, size_t capacity)
{
    const char *last[2] = {NULL, NULL};
    size_t lengths[2] = {0, 0};
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\'' && text[i] != '"')
            continue;
        const char *begin = text + i + 1, *end = memchr(begin, text[i], size - i - 1);
        if (!end)
            break;
        last[0] = last[1];
        lengths[0] = lengths[1];
        last[1] = begin;
        lengths[1] = (size_t)(end - begin);
        i = (size_t)(end - text);
    }
    if (!last[0] || lengths[0] == 0 || lengths[0] + 1 > capacity)
        return false;
    memcpy(path, last[0], lengths[0]);
    path[lengths[0]] = 0;
    return true;
}

/* A node's metadata (field 9) is newer than our schema: its bytes are among the unknown fields. */
static const char *find_scopes(const Onnx__NodeProto *node, size_t *size)
{
    static const char key[] = "pkg.torch.onnx.name_scopes";
    for (unsigned i = 0; i < node->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &node->base.unknown_fields[i];
        const char *found = field->tag == 9 ? memmem(field->data, field->len, key, sizeof key - 1) : NULL;
        if (found) {
            *size = field->len - (size_t)(found - (const char *)field->data) - (sizeof key - 1);
            return found + sizeof key - 1;
        }
    }
    return NULL;
}

static bool module_path(const Onnx__NodeProto *node, char *path, size_t capacity)
{
    size_t size;
    const char *scopes = find_scopes(node, &size);
    return (scopes && path_of_scopes(scopes, size, path, capacity)) ||
           path_of_name(node->name ? node->name : "", path, capacity);
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
    const Onnx__NodeProto *maker = value->maker >= 0 ? reader->model->node[value->maker] : NULL;
    return maker && maker->op_type && strcmp(maker->op_type, "Identity") == 0;
}

bool onnx_is_made_up(const struct onnx_reader *reader, const struct onnx_value *value)
{
    return is_joined(reader, value) || is_made_up(value->source ? value->source->name : value->name);
}

/* Whether the dynamo exporter has let several modules read the value, because their parameters have equal numbers. */
static bool is_joined_by_readers(const struct onnx_reader *reader, const struct onnx_value *value, const char *name)
{
    size_t size;
    const struct onnx_value *from = value->source ? value->source : value;
    return from->readers > 1 && find_scopes(reader->op, &size) && strcmp(from->name, name) != 0;
}

const char *onnx_weight_name(struct onnx_reader *reader, const struct onnx_value *value, const char *role, int sibling)
{
    static const char weight[] = ".weight";
    char path[NODE_MAX_NAME], name[2 * NODE_MAX_NAME];
    const char *own = value->source ? value->source->name : value->name;
    const char *beside = sibling >= 0 ? reader->graph->weights[sibling].name : "";
    const size_t length = strlen(beside);
    if (!role)
        return own;
    if (length > strlen(weight) && strcmp(beside + length - strlen(weight), weight) == 0)
        snprintf(name, sizeof name, "%.*s.%s", (int)(length - strlen(weight)), beside, role);
    else if (module_path(reader->op, path, sizeof path))
        snprintf(name, sizeof name, "%s.%s", path, role);
    else
        return own;
    if (!onnx_is_made_up(reader, value) && !is_joined_by_readers(reader, value, name))
        return own;
    const char *copy = arena_strdup(&reader->arena, name);
    return copy ? copy : own;
}

bool onnx_has_folded_norm(const struct onnx_reader *reader)
{
    size_t size;
    const char *scopes = find_scopes(reader->op, &size);
    const struct onnx_value *weight = onnx_input(reader, 1), *bias = onnx_input(reader, 2);
    if (scopes)
        return memmem(scopes, size, "batch_norm", strlen("batch_norm")) != NULL;
    if (strncmp(onnx_output_name(reader), "getitem", strlen("getitem")) == 0) /* the first result of a batch norm */
        return true;
    return weight && bias && onnx_is_made_up(reader, weight) && onnx_is_made_up(reader, bias);
}
