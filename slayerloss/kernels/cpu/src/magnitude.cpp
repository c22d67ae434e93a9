// The sum of |x| over the steps of every row, in one look at the signal, and whether anything in it is negative.
//
// Sums run in the signal's own precision over a chunk, and in double over the chunks. The order of a row's sum is the
// same for all processors.

#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int32_t NEGATIVE = 8;
constexpr int64_t SIDE = 16;    // elements of a row that are added side by side
constexpr int64_t CHUNK = 128;  // steps, or elements beside each other, whose sum is added up on its own
constexpr int64_t WIDTH = 512;  // rows of a block, where a step of many rows lies together
constexpr int64_t AHEAD = 2;    // steps that are fetched while another is added

// What has been seen so far.
template <class Real>
struct Lowest {
    Vector<Real> lanes = all(Real(0));
    bool negative = false;

    INLINE void see(const Vector<Real>& x) { lanes = smaller<Real>(lanes, x); }
    INLINE void see(Real x) { negative |= x < 0; }

    int32_t status() const {
        bool found = negative;
        for (int i = 0; i < LANES; ++i) found |= lanes[i] < 0;
        return found ? NEGATIVE : 0;
    }
};

template <class Real>
INLINE Real size(Real x) {
    return x < 0 ? -x : x;
}

// One row, whose steps lie side by side.
template <class Real>
INLINE double sum_of_row(const Real* x, int64_t steps, Lowest<Real>& lowest) {
    double sums[SIDE] = {}, total = 0;
    int64_t t = 0;
    while (t + SIDE <= steps) {
        Vector<Real> part[SIDE / LANES];
        for (auto& lanes : part) lanes = all(Real(0));
        for (int64_t round = 0; round < CHUNK && t + SIDE <= steps; ++round, t += SIDE)
            for (int64_t i = 0; i < SIDE / LANES; ++i) {
                const Vector<Real> value = load(x + t + i * LANES);
                lowest.see(value);
                part[i] = part[i] + size_of<Real>(value);
            }
        for (int64_t i = 0; i < SIDE; ++i) sums[i] += double(part[i / LANES][i % LANES]);
    }
    for (; t < steps; ++t) {
        lowest.see(x[t]);
        total += double(size(x[t]));
    }
    for (double sum : sums) total += sum;
    return total;
}

// Up to WIDTH rows, which lie side by side in every step.
template <class Real>
INLINE void sums_of_rows(Real* y, const Real* x, int64_t stride, int64_t rows, int64_t steps, Lowest<Real>& lowest) {
    constexpr int64_t LINE = 64 / int64_t(sizeof(Real));
    double sums[WIDTH] = {};
    for (int64_t begin = 0; begin < steps; begin += CHUNK) {
        Real part[WIDTH] = {};
        for (int64_t t = begin; t < least(steps, begin + CHUNK); ++t) {
            const Real* step = x + t * stride;
            if (t + AHEAD < steps)
                for (int64_t i = 0; i < rows; i += LINE) prefetch(step + AHEAD * stride + i);
            int64_t i = 0;
            for (; i + LANES <= rows; i += LANES) {
                const Vector<Real> value = load(step + i);
                lowest.see(value);
                store<Real>(part + i, load(part + i) + size_of<Real>(value));
            }
            for (; i < rows; ++i) {
                lowest.see(step[i]);
                part[i] += size(step[i]);
            }
        }
        for (int64_t i = 0; i < rows; ++i) sums[i] += double(part[i]);
    }
    for (int64_t i = 0; i < rows; ++i) y[i] = Real(sums[i]);
}

// `lengths` are the steps of each sample that count, a sample has `sample` rows; null: all steps.
template <class Real>
int32_t magnitude_sum(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps, int64_t time_first,
                      const int64_t* lengths, int64_t sample) {
    Lowest<Real> lowest;
    for (int64_t block; (block = take(next)) * WIDTH < rows;) {
        const int64_t end = least(rows, (block + 1) * WIDTH);
        for (int64_t row = block * WIDTH; row < end;) {  // of one sample at a time
            const int64_t stop = lengths ? least(end, (row / sample + 1) * sample) : end;
            const int64_t length = lengths ? least(steps, lengths[row / sample]) : steps;
            if (time_first) sums_of_rows(y + row, x + row, rows, stop - row, length, lowest);
            for (; row < stop; ++row)
                if (!time_first) y[row] = Real(sum_of_row(x + row * steps, length, lowest));
        }
    }
    return lowest.status();
}

}  // namespace

KERNEL(magnitude_sum)
