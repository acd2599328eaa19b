/* Streams, events and captures: shim_queue.cpp, shim_stream.cpp and shim_graph.cpp. */
#ifndef TESTS_SHIM_SHIM_STREAM_H
#define TESTS_SHIM_SHIM_STREAM_H

#include "shim.h"

#include <chrono>
#include <deque>
#include <memory>
#include <thread>

/* A point of a stream: after its first `count` operations. */
struct shim_moment {
    std::shared_ptr<struct CUstream_st> stream; /* NULL: the moment has passed */
    uint64_t count;

    bool passed() const;
};

struct shim_operation {
    std::function<void()> work;
    std::vector<struct shim_moment> waits;
};

struct CUgraphNode_st {
    enum cudaGraphNodeType type;
    std::function<void()> work;
    std::vector<size_t> after; /* nodes that come before it */
};

struct CUgraph_st {
    std::vector<std::shared_ptr<struct CUgraphNode_st>> nodes;
};

/* A capture in progress, of the stream where it began and of those that joined it by events. */
struct shim_capture {
    std::unique_ptr<struct CUgraph_st> graph;
    cudaStream_t origin;
    enum cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool spoiled;
};

struct CUstream_st {
    bool blocking; /* this stream and the legacy stream wait for each other */
    uint64_t queued, done;
    std::deque<struct shim_operation> operations;
    std::shared_ptr<struct shim_capture> capture; /* NULL: not captured */
    std::vector<size_t> last;                     /* the nodes that the next captured operation comes after */
};

struct CUevent_st {
    bool timing, recorded;
    struct shim_moment moment;
    std::shared_ptr<std::chrono::steady_clock::time_point> time;
    std::shared_ptr<struct shim_capture> capture; /* the capture in which it was last recorded */
    std::vector<size_t> captured;
};

/* The shared pointer to a stream (NULL: the legacy stream); NULL if there is no such stream. */
std::shared_ptr<struct CUstream_st> shim_stream_find(cudaStream_t stream);
std::vector<std::shared_ptr<struct CUstream_st>> &shim_streams();

/* The moment when everything is done that the stream has queued so far. */
struct shim_moment shim_end_of(const std::shared_ptr<struct CUstream_st> &stream);
/* Runs queued operations, all streams in turn, until the moment has passed. */
void shim_run_until(const struct shim_moment &moment);
/* Makes a little progress: for queries, so that a loop of queries ends. */
void shim_progress(const struct shim_moment &moment);
void shim_queue(const std::shared_ptr<struct CUstream_st> &stream, struct shim_operation operation);
/* The legacy stream waits for blocking streams, which it cannot do while one of them is captured. */
cudaError_t shim_check_legacy(const std::shared_ptr<struct CUstream_st> &stream);
/* Calls a host function, which must not call the API. */
void shim_call_host(cudaHostFn_t function, void *data);

#endif
