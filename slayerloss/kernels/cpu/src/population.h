// Neurons side by side, in the chip's integers.
#pragma once

#include "layout.h"

namespace {

// A signal of `rows` neurons, which are samples x channels x `inner` positions in space.
struct Signal {
    int64_t rows, steps, time_first, inner;

    int64_t row_stride() const { return time_first ? 1 : steps; }
    int64_t step_stride() const { return time_first ? rows : 1; }
};

constexpr int64_t NARROW = 64, WIDE = 192;  // rows of a block: where time is last, and where it is first
constexpr int64_t TILE_BYTES = 1 << 17;       // of a chunk of steps of a block

// Steps of a chunk, of which none is much shorter than the others.
inline int64_t even_chunk(int64_t steps, int64_t longest) {
    const int64_t chunks = (steps + longest - 1) / longest;
    return (steps + chunks - 1) / chunks;
}

constexpr int32_t DECAY_BITS = 12;
constexpr int32_t STATE_LIMIT = 1 << 23;  // the current lives in (-2^23, 2^23] and wraps, the voltage saturates

// trunc(state * keep / 4096) toward zero for |state| <= 2^23 and keep in [0, 4096]; the product has 35 bits.
INLINE Ints decayed(const Ints& state, const Ints& keep) {
    const Ints whole = all((1 << DECAY_BITS) - 1);
    const Ints low = (state & whole) * keep + ((state >> all(31)) & whole);
    return (state >> all(DECAY_BITS)) * keep + (low >> all(DECAY_BITS));
}

INLINE Ints wrapped(const Ints& state) {
    const Ints offset = all(STATE_LIMIT - 1);
    return ((state + offset) & all(2 * STATE_LIMIT - 1)) - offset;
}

INLINE Ints saturated(const Ints& state) {
    return smaller<int32_t>(larger<int32_t>(state, all(1 - STATE_LIMIT)), all(STATE_LIMIT - 1));
}

// Units of the input -> state LSBs, cut toward zero. `worst` collects the bits of the largest magnitude: NaN and
// infinity are larger than any number.
template <class Real>
INLINE Ints whole(const Vector<Real>& x, Real scale, Ints& worst) {
    const Vector<Real> scaled = x * all(scale);
    const Ints bits = bits_as<int32_t, float>(convert<float, Real>(scaled));
    worst = larger<int32_t>(worst, bits & all(0x7fffffff));
    return convert<int32_t, Real>(scaled);
}

// Whether a collected magnitude left the range in which the integers are exact.
INLINE int32_t out_of_range(const Ints& worst) {
    constexpr int32_t BITS_OF_LIMIT = 0x4b000000;  // 2^23 as a float
    int32_t found = 0;
    for (int i = 0; i < LANES; ++i) found |= worst[i] > BITS_OF_LIMIT;
    return found;
}

// What a row is multiplied with: row -> channel -> value; `channels` is 1 where all share it. Rows are counted, since a
// division takes as long as a neuron's step.
template <class T>
inline void per_row(T* to, int64_t width, const T* values, int64_t channels, int64_t inner, int64_t first, int64_t rows) {
    int64_t channel = first / inner % channels, left = inner - first % inner;
    for (int64_t i = 0; i < width; ++i) {
        to[i] = i < rows ? values[channel] : T(0);
        if (--left == 0) {
            left = inner;
            channel = channel + 1 < channels ? channel + 1 : 0;
        }
    }
}

// What a step keeps of each row's state, in multiples of 1/4096.
template <int64_t WIDTH>
inline void whole_keeps(Ints* keep, const double* values, int64_t channels, const Signal& signal, int64_t first,
                        int64_t rows) {
    double each[WIDTH];
    int32_t whole[WIDTH];
    per_row(each, WIDTH, values, channels, signal.inner, first, rows);
    for (int64_t i = 0; i < WIDTH; ++i) whole[i] = int32_t(each[i] * (1 << DECAY_BITS) + 0.5);
    for (int64_t i = 0; i < WIDTH / LANES; ++i) keep[i] = load(whole + i * LANES);
}

}  // namespace
