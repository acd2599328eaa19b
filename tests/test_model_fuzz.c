/* Mutations of model files: whatever the bytes, the readers return, with a message where they refuse. `make fuzz`
 * looks further. */
#include "formats/onnx/onnx_outline.h"
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_write.h"
#include "formats/export/safetensors.h"
#include "shared/base/files.h"
#include "shared/base/random.h"
#include "tests/helper_exports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MUTATIONS = 1500 };

static void mutate(uint8_t *bytes, size_t *size, struct random_stream *stream)
{
    for (int edits = 1 + (int)(random_uniform(stream) * 4); edits > 0 && *size > 0; edits--) {
        size_t at = (size_t)(random_uniform(stream) * (float)*size) % *size;
        switch ((int)(random_uniform(stream) * 6)) {
        case 0:
            bytes[at] = (uint8_t)(random_uniform(stream) * 256);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1 << (int)(random_uniform(stream) * 8));
            break;
        case 2:
            bytes[at] = 0xff;
            break;
        case 3: /* drop a byte */
            memmove(bytes + at, bytes + at + 1, --*size - at);
            break;
        case 4: { /* copy a stretch over another */
            size_t from = (size_t)(random_uniform(stream) * (float)*size) % *size,
                   length = *size - (at > from ? at : from);
            memmove(bytes + at, bytes + from, length > 40 ? 40 : length);
            break;
        }
        default:
            if (random_uniform(stream) < 0.1f)
                *size = at;
        }
    }
}

typedef void reader(struct graph *graph, const uint8_t *bytes, size_t size);

/* graph: the one that safetensors are read into, or NULL */
static void fuzz(reader *read, struct graph *graph, const uint8_t *bytes, size_t size, uint64_t seed)
{
    uint8_t *copy = malloc(size);
    struct random_stream stream;
    assert_non_null(copy);
    random_stream_init(&stream, seed, RANDOM_INIT, 0, 0);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t length = size;
        memcpy(copy, bytes, size);
        mutate(copy, &length, &stream);
        read(graph, copy, length);
    }
    free(copy);
}

static void read_onnx(struct graph *unused, const uint8_t *bytes, size_t size)
{
    (void)unused;
    struct graph graph;
    struct error err = {0};
    if (onnx_read(&graph, bytes, size, "mutated.onnx", NULL, &err) == STATUS_OK)
        assert_true(graph.output >= 0 && graph.output < graph.node_count && graph.input >= 0);
    else
        assert_true(strlen(err.message) > 5 && graph.node_count == 0);
    graph_release(&graph);
}

static void read_outline(struct graph *unused, const uint8_t *bytes, size_t size)
{
    (void)unused;
    struct onnx_outline outline;
    struct error err = {0};
    uint8_t *more = NULL;
    size_t more_size;
    if (onnx_outline_read(&outline, bytes, size, "mutated.onnx", &err) == STATUS_OK) {
        const char *name = outline.tensor_count ? outline.tensors[0].name : "none";
        assert_true(outline.rank >= 2 && outline.rank <= ONNX_OUTLINE_RANK);
        assert_int_equal(onnx_with_outputs(&outline, bytes, size, &name, 1, &more, &more_size, &err), STATUS_OK);
        assert_memory_equal(more, bytes, size);
    } else {
        assert_true(strlen(err.message) > 5 && outline.tensor_count == 0);
    }
    free(more);
    onnx_outline_release(&outline);
}

static void test_onnx(void **state)
{
    (void)state;
    static const char *const files[] = {"idioms_keras", "idioms_gates", "patterns"};
    struct error err = {0};
    for (int which = 0; which < EXPORT_GRAPH_COUNT; which++) {
        struct graph graph;
        uint8_t *bytes;
        size_t size;
        export_graph_make(&graph, which);
        assert_int_equal(onnx_write(&graph, &bytes, &size, &err), STATUS_OK);
        fuzz(read_onnx, NULL, bytes, size, (uint64_t)which);
        fuzz(read_outline, NULL, bytes, size, (uint64_t)which);
        free(bytes);
        graph_release(&graph);
    }
    for (int i = 0; i < 3; i++) {
        char path[256];
        unsigned char *bytes;
        size_t size;
        snprintf(path, sizeof path, "tests/golden/onnx_models/%s.onnx", files[i]);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &size, &err), STATUS_OK);
        fuzz(read_onnx, NULL, bytes, size, 100 + (uint64_t)i);
        fuzz(read_outline, NULL, bytes, size, 100 + (uint64_t)i);
        free(bytes);
    }
}

static void read_safetensors(struct graph *graph, const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    if (safetensors_read_weights(graph, bytes, size, "mutated.safetensors", &err) != STATUS_OK)
        assert_true(strlen(err.message) > 5);
}

static void test_safetensors(void **state)
{
    (void)state;
    for (int which = 0; which < EXPORT_GRAPH_COUNT; which++) {
        struct graph graph;
        struct error err = {0};
        uint8_t *bytes;
        size_t size, header;
        export_graph_make(&graph, which);
        assert_int_equal(safetensors_write_weights(&graph, &bytes, &size, &err), STATUS_OK);
        header = 8 + bytes[0] + 256u * bytes[1]; /* mutations of the data are dull: keep little of it */
        fuzz(read_safetensors, &graph, bytes, size, (uint64_t)which);
        fuzz(read_safetensors, &graph, bytes, header + 64 < size ? header + 64 : size, 50 + (uint64_t)which);
        free(bytes);
        graph_release(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx),
        cmocka_unit_test(test_safetensors),
    };
    return cmocka_run_group_tests_name("model_fuzz", tests, NULL, NULL);
}
