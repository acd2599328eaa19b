/* Fibers: stacks that are switched by hand. On x86-64 a switch saves the six registers that a callee must preserve;
 * elsewhere ucontext does it, which is slower. AddressSanitizer is notified of every switch. */
#include "shim.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
static const size_t STACK_BYTES = 256 << 10;
#else
static const size_t STACK_BYTES = 64 << 10;
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct shim_fiber {
#if defined(__x86_64__)
    void *stack_pointer;
#else
    ucontext_t context;
#endif
    const void *bottom;
    size_t bytes;
    void *fake_stack;
};

#if defined(__x86_64__)
extern "C" void shim_switch_stacks(void **from, void *to);
asm(".text\n"
    ".type shim_switch_stacks, @function\n"
    ".hidden shim_switch_stacks\n"
    "shim_switch_stacks:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size shim_switch_stacks, . - shim_switch_stacks\n");
#endif

/* The thread that runs the grid, while its fibers run. */
static struct shim_fiber outside;

struct shim_fiber *shim_fiber_new(void (*entry)())
{
    static size_t made;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *const memory = (unsigned char *)mmap(NULL, page + STACK_BYTES, PROT_READ | PROT_WRITE,
                                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0)
        shim_fail("no memory for a thread's stack");
    struct shim_fiber *const fiber = new shim_fiber();
    fiber->bottom = memory + page;
    /* Tops at different offsets: with equal ones, the stacks of a block would compete for a few lines of the cache. */
    fiber->bytes = STACK_BYTES - made++ * 832 % 16384 / 64 * 64;
#if defined(__x86_64__)
    void **top = (void **)((unsigned char *)fiber->bottom + fiber->bytes);
    *--top = NULL; /* entry's return address: it never returns */
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--top = NULL;
    fiber->stack_pointer = top;
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = (void *)fiber->bottom;
    fiber->context.uc_stack.ss_size = fiber->bytes;
    makecontext(&fiber->context, entry, 0);
#endif
    return fiber;
}

#if defined(__SANITIZE_ADDRESS__)
/* Requested once per thread, because it takes long. */
static void find_own_stack(struct shim_fiber *fiber)
{
    static thread_local void *bottom;
    static thread_local size_t bytes;
    pthread_attr_t attributes;
    if (!bottom) {
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &bottom, &bytes);
        pthread_attr_destroy(&attributes);
    }
    fiber->bottom = bottom;
    fiber->bytes = bytes;
}
#endif

void shim_fiber_switch(struct shim_fiber *from, struct shim_fiber *to)
{
    from = from ? from : &outside;
    to = to ? to : &outside;
#if defined(__SANITIZE_ADDRESS__)
    if (from == &outside)
        find_own_stack(&outside);
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->bytes);
#endif
#if defined(__x86_64__)
    shim_switch_stacks(&from->stack_pointer, to->stack_pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}
