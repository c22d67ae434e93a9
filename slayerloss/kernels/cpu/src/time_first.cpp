// Rows of steps, brought into the order in which the rows of a step are contiguous.
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t ROWS = 64;   // of a block
constexpr int64_t STEPS = 64;  // that are turned before the next ones: few lines of both orders are in use at once

template <class Real>
int32_t time_first(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps) {
    for (int64_t first; (first = take(next) * ROWS) < rows;) {
        const int64_t count = least(ROWS, rows - first);
        for (int64_t begin = 0; begin < steps; begin += STEPS)
            transposed<false>(y + begin * rows + first, rows, x + first * steps + begin, steps, count,
                              least(STEPS, steps - begin));
    }
    return 0;
}

}  // namespace

KERNEL(time_first)
