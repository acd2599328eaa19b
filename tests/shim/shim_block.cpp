/* A block: its threads run one at a time, each until it waits at a barrier or a warp operation or ends. A thread that
 * ends hands its fiber to the next one that has not started, so kernels without barriers never switch stacks. */
#include "shim.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
/* There is no macro for other sanitizers: the function exists if one is linked. */
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

enum { LANES = 32, THREADS = 1024, WARPS = THREADS / LANES };
enum wait_kind { RUNNING, AT_BARRIER, AT_WARP, ENDED };

struct thread {
    struct shim_fiber *fiber; /* NULL: not started */
    enum wait_kind wait;
    /* the warp operation that it waits at, and the result of the last one */
    enum shim_warp_kind kind;
    unsigned int mask;
    uint64_t value, result;
    int operand, width;
};

static struct {
    const struct shim_launch *launch; /* NULL: no kernel runs */
    struct shim_order *order;
    struct thread threads[THREADS];
    uint32_t thread_count, ended;
    uint32_t current;         /* the running thread */
    struct shim_fiber *fiber; /* its fiber */
    uint32_t ready[WARPS];    /* lanes that can run */
    uint32_t ready_warps;     /* warps with such lanes */
    uint32_t waiting[WARPS];  /* lanes at a warp operation */
    uint32_t existing[WARPS];
    /* the barrier that threads wait at */
    enum shim_barrier_kind barrier;
    const char *barrier_file;
    int barrier_line;
    uint32_t arrived, predicates;
    int barrier_result;
    struct shim_fiber *idle[THREADS + 1]; /* fibers without a thread */
    uint32_t idle_count;
} block;

/* ---- reports ---- */
static uint3 place_of(uint32_t thread)
{
    return make_uint3(thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y);
}

static void print_place(uint32_t thread)
{
    const uint3 place = place_of(thread);
    fprintf(stderr, "execution shim: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): ",
            shim_kernel_find(block.launch->kernel)->name.c_str(), blockIdx.x, blockIdx.y, blockIdx.z, place.x, place.y,
            place.z);
}

void shim_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (block.launch)
        print_place(block.current);
    else
        fputs("execution shim: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/* A sanitizer calls this after its report. */
static void print_place_at_death()
{
    if (!block.launch)
        return;
    print_place(block.current);
    fputs("see the sanitizer's report above\n", stderr);
}

static void watch_sanitizer()
{
#if !defined(__SANITIZE_ADDRESS__)
    if (!__sanitizer_set_death_callback)
        return;
#endif
    __sanitizer_set_death_callback(print_place_at_death);
}

static const char *describe_wait(uint32_t thread, char text[128])
{
    static const char *const kinds[] = {"__shfl_sync",     "__shfl_up_sync",   "__shfl_down_sync",
                                        "__shfl_xor_sync", "__ballot_sync",    "__any_sync",
                                        "__all_sync",      "__match_any_sync", "__syncwarp"};
    const struct thread *const t = &block.threads[thread];
    const uint3 place = place_of(thread);
    char what[64] = "has ended";
    if (t->wait == AT_BARRIER)
        snprintf(what, sizeof what, "waits at a barrier");
    else if (t->wait == AT_WARP)
        snprintf(what, sizeof what, "waits at %s with mask %#x", kinds[t->kind], t->mask);
    snprintf(text, 128, "thread (%u, %u, %u) %s", place.x, place.y, place.z, what);
    return text;
}

/* No thread can run and some have not ended: prints which thread waits for which. */
[[noreturn]] static void fail_stuck()
{
    char text[128];
    for (uint32_t i = 0; i < block.thread_count; i++) {
        const struct thread *const t = &block.threads[i];
        const uint32_t warp = i / LANES, missing = t->mask & ~block.waiting[warp];
        if (t->wait != AT_WARP || !missing)
            continue;
        block.current = i;
        describe_wait(i, text);
        char other[128];
        shim_fail("divergent warp operation: %s, but %s", text,
                  describe_wait(warp * LANES + (uint32_t)__builtin_ctz(missing), other));
    }
    uint32_t waiting = 0, other = 0;
    while (block.threads[waiting].wait != AT_BARRIER)
        waiting++;
    while (block.threads[other].wait == AT_BARRIER)
        other++;
    block.current = waiting;
    shim_fail("divergent barrier: waits at the barrier of %s:%d, but %s", block.barrier_file, block.barrier_line,
              describe_wait(other, text));
}

/* ---- who runs next ---- */
static uint32_t take_ready()
{
    const int warp = block.order->pick(block.ready_warps);
    const int lane = block.order->pick(block.ready[warp]);
    block.ready[warp] &= ~(1u << lane);
    if (!block.ready[warp])
        block.ready_warps &= ~(1u << warp);
    return (uint32_t)(warp * LANES + lane);
}

static void make_ready(uint32_t warp, uint32_t lanes)
{
    block.ready[warp] |= lanes;
    block.ready_warps |= 1u << warp;
}

static void make_current(uint32_t thread)
{
    block.current = thread;
    block.threads[thread].wait = RUNNING;
    if (blockDim.y == 1 && blockDim.z == 1)
        threadIdx = make_uint3(thread, 0, 0);
    else
        threadIdx = place_of(thread);
}

static void run_threads();

/* Leaves the running fiber and continues the thread on its own fiber, or starts it on an idle one. */
static void switch_to(uint32_t thread)
{
    struct shim_fiber *const from = block.fiber;
    struct shim_fiber *to = block.threads[thread].fiber;
    if (!to && block.idle_count > 0)
        to = block.idle[--block.idle_count];
    if (!to)
        to = shim_fiber_new(run_threads);
    make_current(thread);
    block.fiber = to;
    shim_fiber_switch(from, to);
}

/* The entry of fibers: runs the current thread and those that it can start afterwards. */
static void run_threads()
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    for (;;) {
        block.launch->call(block.launch->kernel, block.launch->arguments.get());
        block.threads[block.current].wait = ENDED;
        block.ended++;
        if (block.ready_warps) {
            const uint32_t next = take_ready();
            if (!block.threads[next].fiber) {
                make_current(next);
                continue;
            }
            block.idle[block.idle_count++] = block.fiber;
            switch_to(next);
        } else {
            if (block.ended < block.thread_count)
                fail_stuck();
            struct shim_fiber *const from = block.fiber;
            block.idle[block.idle_count++] = from;
            block.fiber = NULL;
            shim_fiber_switch(from, NULL);
        }
    }
}

/* The current thread waits until another one makes it ready. */
static void wait_as(enum wait_kind kind)
{
    struct thread *const self = &block.threads[block.current];
    self->wait = kind;
    self->fiber = block.fiber;
    if (!block.ready_warps)
        fail_stuck();
    const uint32_t next = take_ready();
    if (next == block.current)
        self->wait = RUNNING;
    else
        switch_to(next);
}

/* ---- barriers ---- */
int shim_barrier(enum shim_barrier_kind kind, int predicate, const char *file, int line)
{
    if (block.arrived == 0) {
        block.barrier = kind;
        block.barrier_file = file;
        block.barrier_line = line;
    } else if (block.barrier != kind || block.barrier_line != line ||
               (block.barrier_file != file && strcmp(block.barrier_file, file) != 0)) {
        shim_fail("divergent barrier: waits at the barrier of %s:%d while other threads wait at that of %s:%d", file,
                  line, block.barrier_file, block.barrier_line);
    }
    block.predicates += predicate != 0;
    if (++block.arrived == block.thread_count) {
        block.barrier_result = kind == SHIM_SYNCTHREADS_COUNT ? (int)block.predicates
                               : kind == SHIM_SYNCTHREADS_AND ? block.predicates == block.thread_count
                                                              : block.predicates > 0;
        block.arrived = block.predicates = 0;
        for (uint32_t warp = 0; warp * LANES < block.thread_count; warp++)
            make_ready(warp, block.existing[warp]);
    }
    wait_as(AT_BARRIER);
    return block.barrier_result;
}

/* ---- warp operations ---- */
static uint64_t shuffled(const struct thread *lanes, int lane)
{
    const struct thread *const self = &lanes[lane];
    const int first = lane & ~(self->width - 1), last = first + self->width - 1;
    int source = lane;
    switch (self->kind) {
    case SHIM_SHFL:
        source = first | (self->operand & (self->width - 1));
        break;
    case SHIM_SHFL_UP:
        source = lane - self->operand < first ? lane : lane - self->operand;
        break;
    case SHIM_SHFL_DOWN:
        source = lane + self->operand > last ? lane : lane + self->operand;
        break;
    default:
        source = (lane ^ self->operand) > last ? lane : lane ^ self->operand;
    }
    if (!(self->mask >> source & 1u))
        shim_fail("lane %d shuffles from lane %d, which is not in its mask %#x", lane, source, self->mask);
    return lanes[source].value;
}

/* Every lane of the mask has arrived: sets the result of each. */
static void apply_epilogue(struct thread *lanes, unsigned int mask)
{
    uint32_t ballot = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        if (lanes[lane].kind != lanes[block.current % LANES].kind || lanes[lane].mask != mask)
            shim_fail("divergent warp operation: lane %d of its mask %#x executes another one, or with mask %#x", lane,
                      mask, lanes[lane].mask);
        ballot |= (uint32_t)(lanes[lane].value != 0) << lane;
    }
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        struct thread *const self = &lanes[lane];
        self->result = 0;
        if (self->kind <= SHIM_SHFL_XOR)
            self->result = shuffled(lanes, lane);
        else if (self->kind == SHIM_BALLOT)
            self->result = ballot;
        else if (self->kind == SHIM_ANY)
            self->result = ballot != 0;
        else if (self->kind == SHIM_ALL)
            self->result = ballot == mask;
        else if (self->kind == SHIM_MATCH_ANY)
            for (uint32_t others = mask; others; others &= others - 1)
                self->result |= (uint64_t)(lanes[__builtin_ctz(others)].value == self->value) << __builtin_ctz(others);
    }
}

uint64_t shim_warp(enum shim_warp_kind kind, unsigned int mask, uint64_t value, int operand, int width)
{
    const uint32_t warp = block.current / LANES, lane = block.current % LANES;
    struct thread *const self = &block.threads[block.current];
    if (!(mask >> lane & 1u))
        shim_fail("warp operation with mask %#x, which has not the caller's own lane %u", mask, lane);
    if (mask & ~block.existing[warp])
        shim_fail("warp operation with mask %#x, but the warp has only the lanes %#x", mask, block.existing[warp]);
    if (width < 1 || width > LANES || (width & (width - 1)))
        shim_fail("shuffle of width %d: it must be a power of two up to 32", width);
    self->kind = kind;
    self->mask = mask;
    self->value = value;
    self->operand = operand;
    self->width = width;
    block.waiting[warp] |= 1u << lane;
    if ((block.waiting[warp] & mask) == mask) {
        apply_epilogue(&block.threads[warp * LANES], mask);
        block.waiting[warp] &= ~mask;
        make_ready(warp, mask);
    }
    wait_as(AT_WARP);
    return self->result;
}

/* ---- a whole block ---- */
void shim_block_run(const struct shim_launch &launch, struct shim_order *order)
{
    watch_sanitizer();
    block.launch = &launch;
    block.order = order;
    block.thread_count = blockDim.x * blockDim.y * blockDim.z;
    block.ended = block.arrived = block.predicates = block.ready_warps = 0;
    for (uint32_t i = 0; i < block.thread_count; i++)
        block.threads[i].fiber = NULL;
    for (uint32_t warp = 0; warp * LANES < block.thread_count; warp++) {
        const uint32_t left = block.thread_count - warp * LANES;
        block.existing[warp] = left >= LANES ? 0xffffffffu : (1u << left) - 1;
        block.waiting[warp] = block.ready[warp] = 0;
        make_ready(warp, block.existing[warp]);
    }
    block.fiber = NULL;
    switch_to(take_ready());
    block.launch = NULL;
}
