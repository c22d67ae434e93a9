// Blocks of rows that go through a tile chunk by chunk, in both memory orders.
#pragma once

#include <cstdlib>

#include "population.h"

namespace {

enum Status { NOT_FINITE = 1, TOO_LARGE = 2, NO_MEMORY = 4 };

constexpr int64_t FEW = 16, MANY = 64;  // rows of a block: where time is last or the rows are few, and elsewhere

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Memory of one thread, aligned to cache lines; null where there is none.
class Scratch {
    void* memory;

   public:
    explicit Scratch(int64_t bytes) : memory(std::malloc(size_t(bytes) + 64)) {}
    ~Scratch() { std::free(memory); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    template <class T>
    T* as() const {
        if (!memory) return nullptr;
        return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory) + 63) & ~uintptr_t(63));
    }
};

// to += factor from
template <class Real>
INLINE void add(Real* __restrict to, const Real* __restrict from, Real factor, int64_t size) {
    for (int64_t i = 0; i < size; ++i) to[i] += factor * from[i];
}

// Block `number` of WIDTH rows. A tile of it holds WIDTH rows of each step, of which those beyond the signal are zero.
template <int64_t WIDTH>
struct Block {
    Signal signal;
    int64_t first, rows;

    Block(const Signal& of, int64_t number)
        : signal(of), first(number * WIDTH), rows(least(of.rows - number * WIDTH, WIDTH)) {}

    int64_t offset(int64_t begin) const { return first * signal.row_stride() + begin * signal.step_stride(); }

    template <class Real>
    void fill(Real* tile, const Real* x, int64_t begin, int64_t steps) const {
        x += offset(begin);
        if (!signal.time_first)  // rows too short for the processor to foresee
            for (int64_t i = 0; i < rows; ++i)
                for (int64_t t = 0; t < steps; t += 64 / sizeof(Real)) prefetch(x + i * signal.steps + t);
        fill_tile(tile, WIDTH, x, signal.row_stride(), signal.step_stride(), rows, steps);
    }

    template <class Real>
    void empty(const Real* tile, Real* y, int64_t begin, int64_t steps) const {
        empty_tile(tile, WIDTH, y + offset(begin), signal.row_stride(), signal.step_stride(), rows, steps);
    }

    // Set the steps after each sample's length to zero; `lengths` may be null, a sample has `sample` rows.
    template <class Real>
    void mask(Real* tile, const int64_t* lengths, int64_t sample, int64_t begin, int64_t steps) const {
        for (int64_t i = 0; lengths && i < rows; ++i) {
            const int64_t length = lengths[(first + i) / sample] - begin;
            for (int64_t t = length < 0 ? 0 : length; t < steps; ++t) tile[t * WIDTH + i] = 0;
        }
    }
};

constexpr int32_t INFINITE = 0x7f7fffff;  // the largest float, in bits: what is above it is infinite, or no number

// The bits of |x|, which are in the order of |x|.
INLINE int32_t magnitude(float x) {
    int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

template <int64_t WIDTH>
inline bool above(const int32_t* bits, int32_t limit) {
    bool found = false;
    for (int64_t i = 0; i < WIDTH; ++i) found |= bits[i] > limit;
    return found;
}

// Let `work` do all blocks that no other thread takes: work.template block<WIDTH>(Block, memory) of `bytes(WIDTH)`.
template <class Work>
inline int32_t all_blocks(const Work& work, const Signal& signal, int64_t width, int64_t* next) {
    const Scratch scratch(work.bytes(width));
    char* memory = scratch.as<char>();
    if (!memory) return NO_MEMORY;
    int32_t status = 0;
    for (int64_t number; (number = take(next)) * width < signal.rows;)
        status |= width == MANY ? work.block(Block<MANY>(signal, number), memory)
                                : work.block(Block<FEW>(signal, number), memory);
    return status;
}

}  // namespace
