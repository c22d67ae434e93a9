// The two memory orders of a signal of `rows` neurons over `steps` steps, and blocks of it with time first.
//
// Time last: a row is contiguous. Time first: a step is contiguous. A kernel works on a tile, in which a step holds
// `width` rows side by side; where time is last, the tile is a transposed copy.
#pragma once

#include "lanes.h"

namespace {

#if LANE_COUNT == 16
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANE_COUNT == 8
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#endif

// a0 b0 a1 b1 ... of the lower halves and of the upper ones.
template <class Real>
INLINE void interleave(const Vector<Real>& a, const Vector<Real>& b, Vector<Real>& low, Vector<Real>& high) {
#if defined(VECTOR_TYPES) && (defined(__clang__) || __GNUC__ >= 12)
    low = __builtin_shufflevector(a, b, LOW_HALVES);
    high = __builtin_shufflevector(a, b, HIGH_HALVES);
#else
    for (int i = 0; i < LANES / 2; ++i) {
        low[2 * i] = a[i], low[2 * i + 1] = b[i];
        high[2 * i] = a[LANES / 2 + i], high[2 * i + 1] = b[LANES / 2 + i];
    }
#endif
}

// A square of numbers, in as many rounds of perfect shuffles as LANES has factors of two.
template <class Real>
INLINE void transpose(Vector<Real> (&rows)[LANES]) {
    for (int size = LANES; size > 1; size /= 2) {
        Vector<Real> next[LANES];
        for (int i = 0; i < LANES / 2; ++i)
            interleave<Real>(rows[i], rows[i + LANES / 2], next[2 * i], next[2 * i + 1]);
        for (int i = 0; i < LANES; ++i) rows[i] = next[i];
    }
}

// from[i * from_stride + j] -> to[j * to_stride + i] for i < rows, j < columns, in squares. A last square that would not
// be full begins earlier: what is done twice comes out the same. The outer loop is over the lines of the far side, the
// rows of a signal, so that few of them are visited at once.
template <bool OUTER_ROWS, class Real>
inline void transposed(Real* to, int64_t to_stride, const Real* from, int64_t from_stride, int64_t rows,
                       int64_t columns) {
    if (rows < LANES || columns < LANES) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < columns; ++j) to[j * to_stride + i] = from[i * from_stride + j];
        return;
    }
    const int64_t outer = OUTER_ROWS ? rows : columns, inner = OUTER_ROWS ? columns : rows;
    for (int64_t a = 0; a < outer; a += LANES) {
        for (int64_t b = 0; b < inner; b += LANES) {
            const int64_t first = a < outer - LANES ? a : outer - LANES, second = b < inner - LANES ? b : inner - LANES;
            const int64_t row = OUTER_ROWS ? first : second, column = OUTER_ROWS ? second : first;
            const Real* source = from + row * from_stride + column;
            Real* target = to + column * to_stride + row;
            Vector<Real> square[LANES];
            for (int i = 0; i < LANES; ++i) square[i] = load(source + i * from_stride);
            transpose<Real>(square);
            for (int i = 0; i < LANES; ++i) store(target + i * to_stride, square[i]);
        }
    }
}

// While a tile of `ROWS` rows is computed, the lines of memory are fetched that the next one comes from and that this one
// goes to: in each step as many as it takes for all to have come at the end.
template <class Real, int64_t ROWS>
struct Fetched {
    static constexpr int64_t LINE = 64 / int64_t(sizeof(Real)), EACH_STEP = (ROWS + LINE - 1) / LINE;
    const Real* at;  // null: nothing
    int64_t row_stride;

    INLINE void in_step(int64_t t) const {
        if (!at) return;
        const Real* line = at + t % LINE * EACH_STEP * row_stride + t / LINE * LINE;
        for (int64_t i = 0; i < EACH_STEP; ++i) prefetch(line + i * row_stride);
    }
};

// A full step has a size that the compiler knows.
template <class Real>
INLINE void copy_step(Real* to, const Real* from, int64_t rows, int64_t width) {
    std::memcpy(to, from, (rows == width ? width : rows) * sizeof(Real));
}

// Bring `steps` steps of `rows` rows into a tile of `width` rows, of which the missing ones are zero.
template <class Real>
inline void fill_tile(Real* tile, int64_t width, const Real* x, int64_t row_stride, int64_t step_stride, int64_t rows,
                      int64_t steps) {
    if (step_stride == 1) {
        transposed<true>(tile, width, x, row_stride, rows, steps);
    } else {
        for (int64_t step = 0; step < steps; ++step)
            copy_step(tile + step * width, x + step * step_stride, rows, width);
    }
    for (int64_t step = 0; rows < width && step < steps; ++step)
        std::memset(tile + step * width + rows, 0, (width - rows) * sizeof(Real));
}

// The way back.
template <class Real>
inline void empty_tile(const Real* tile, int64_t width, Real* y, int64_t row_stride, int64_t step_stride, int64_t rows,
                       int64_t steps) {
    if (step_stride == 1) {
        transposed<false>(y, row_stride, tile, width, steps, rows);
    } else {
        for (int64_t step = 0; step < steps; ++step)
            copy_step(y + step * step_stride, tile + step * width, rows, width);
    }
}

}  // namespace
