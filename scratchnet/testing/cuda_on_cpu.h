// Just enough of CUDA's C++ to run the kernels of scratchnet/kernels/cuda on a CPU, in tests with small launches.
//
// Blocks run one after the other. The threads of a block are fibers: each runs until it ends or has to wait, for the
// block (__syncthreads) or for its warp (__syncwarp, shuffles). A thread that waits for one that has ended, or for one
// that waits elsewhere, is an error here: on a GPU it would be undefined. Each warp runs ahead of the others as far as
// it can, in ascending or descending order: if the results differ, a thread did not wait for another one's data.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__ static inline
#define __forceinline__
#define __restrict__
#define __shared__ static  // one block at a time, all of its fibers on one thread: static variables are shared by the block
#define __launch_bounds__(...)

struct dim3 { unsigned x = 1, y = 1, z = 1; };

namespace emulator {

constexpr size_t STACK = 64 << 10;
enum State { ENDED, READY, AT_BLOCK, AT_WARP };

struct Fiber {
    ucontext_t first;  // where it starts, with its own stack
    jmp_buf later;     // where it continues: a jump costs a tenth of a context switch
    std::vector<char> stack = std::vector<char>(STACK);
    bool begun = false;
    State state = ENDED;
};

static jmp_buf scheduler;
static std::vector<Fiber> fibers;
static unsigned now;                           // the running thread
static char handed[2][1024][sizeof(double)];   // values that threads exchange; two buffers, used in turns: see exchange
static unsigned turn[1024];
static void (*body)(void*);
static void* body_arguments;
static const char* error;

inline void wait(State what) {
    fibers[now].state = what;
    if (!_setjmp(fibers[now].later)) _longjmp(scheduler, 1);
}

inline void start() {
    body(body_arguments);
    fibers[now].state = ENDED;
    _longjmp(scheduler, 1);
}

// Thread ``now`` runs until it waits or ends.
__attribute__((noinline)) inline void resume() {
    if (_setjmp(scheduler)) return;
    Fiber& f = fibers[now];
    if (f.begun) _longjmp(f.later, 1);
    f.begun = true;
    setcontext(&f.first);
}

// Lets threads first .. last - 1 go on if all of them wait for the same. Returns whether it did.
inline bool release(unsigned first, unsigned last, State what) {
    for (unsigned t = first; t < last; ++t)
        if (fibers[t].state != what) return false;
    for (unsigned t = first; t < last; ++t) fibers[t].state = READY;
    return true;
}

inline bool run_block(unsigned threads, bool descending) {
    for (unsigned t = 0; t < threads; ++t) {
        Fiber& f = fibers[t];
        getcontext(&f.first);
        f.first.uc_stack.ss_sp = f.stack.data();
        f.first.uc_stack.ss_size = STACK;
        f.first.uc_link = nullptr;
        makecontext(&f.first, start, 0);
        f.begun = false;
        f.state = READY;
        turn[t] = 0;
    }
    for (;;) {
        bool moved = false;
        for (unsigned i = 0; i < threads; i += 32) {
            const unsigned first = descending ? threads - 32 - i : i;
            do {  // a warp runs ahead of the others as far as it can
                for (unsigned lane = 0; lane < 32; ++lane) {
                    now = first + (descending ? 31 - lane : lane);
                    if (fibers[now].state != READY) continue;
                    resume();
                    moved = true;
                }
            } while (release(first, first + 32, AT_WARP));
        }
        if (release(0, threads, ENDED)) return true;  // all of them
        moved |= release(0, threads, AT_BLOCK);
        if (!moved) {
            error = "threads wait for others that have ended or wait elsewhere";
            return false;
        }
    }
}

}  // namespace emulator

static dim3 gridDim, blockDim, blockIdx;
#define threadIdx (dim3{emulator::now, 0, 0})

inline void __syncthreads() { emulator::wait(emulator::AT_BLOCK); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait(emulator::AT_WARP); }

// Every thread of the warp hands over x and gets that of lane ``from``. The next exchange uses the other half of
// ``handed``: no thread can be two exchanges ahead, so values that a slow thread has yet to read are not overwritten.
template <class T> T exchange(T x, unsigned from) {
    using namespace emulator;
    unsigned half = turn[now]++ % 2;
    memcpy(handed[half][now], &x, sizeof x);
    wait(AT_WARP);
    memcpy(&x, handed[half][now / 32 * 32 + from], sizeof x);
    return x;
}
template <class T> T __shfl_sync(unsigned, T x, int lane) { return exchange(x, unsigned(lane) % 32); }
template <class T> T __shfl_xor_sync(unsigned, T x, int mask) { return exchange(x, (emulator::now % 32) ^ mask); }
template <class T> T __shfl_down_sync(unsigned, T x, int away) {
    unsigned lane = emulator::now % 32;
    return exchange(x, lane + away < 32 ? lane + away : lane);
}
template <class T> T atomicAdd(T* at, T x) {
    T before = *at;
    *at += x;
    return before;
}
inline float __fdividef(float a, float b) { return a / b; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }

namespace emulator {

// A parameter's kind as the test compares it with what was passed: p(ointer), i(nteger) or f(loat), and its bytes.
template <class T> std::string kind() {
    return (std::is_pointer_v<T> ? "p" : std::is_floating_point_v<T> ? "f" : "i") + std::to_string(sizeof(T)) + " ";
}

template <class... A> std::string signature(void (*)(A...)) { return (kind<A>() + ... + std::string()); }

// In float, numbers below the smallest normal one count as 0 from here on, as CuPy compiles kernels (-ftz=true).
// (The processor mode that does this applies to double as well.)
struct FlushToZero {
#ifdef __SSE__
    unsigned before = _mm_getcsr();
    FlushToZero() { _mm_setcsr(before | 0x8040); }
    ~FlushToZero() { _mm_setcsr(before); }
#endif
};

// kernel<<<blocks, threads>>>(*arguments...); a null pointer, or what went wrong.
template <class... A>
const char* launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** arguments, bool descending) {
    [[maybe_unused]] FlushToZero here;
    using Values = std::tuple<A...>;
    struct Call {
        void (*kernel)(A...);
        Values values;
    } call{kernel, {}};
    [&]<size_t... I>(std::index_sequence<I...>) {
        ((std::get<I>(call.values) = *static_cast<std::tuple_element_t<I, Values>*>(arguments[I])), ...);
    }(std::index_sequence_for<A...>());
    body = [](void* p) { std::apply(static_cast<Call*>(p)->kernel, static_cast<Call*>(p)->values); };
    body_arguments = &call;
    if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
    gridDim.x = blocks;
    blockDim.x = threads;
    error = nullptr;
    for (unsigned b = 0; b < blocks; ++b) {
        blockIdx.x = descending ? blocks - 1 - b : b;
        if (!run_block(threads, descending)) return error;
    }
    return nullptr;
}

}  // namespace emulator
