// Products with spikes: y = x w for an x (rows, channels) that is mostly zero, and the gradient of w. All of x is looked
// at, but only what is not zero is multiplied.
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t ROWS = 16;         // of a block of the product
constexpr int64_t VECTORS = 8;       // of outputs that are summed in registers
constexpr int64_t SUMMED_ROWS = 512;  // of the gradient that are added up before their sum is: more would lose digits

constexpr int64_t AHEAD = 4;         // rows whose elements are fetched while others are looked at

// The places of the elements that are not zero, in their order; `places` has room for one more than there are elements.
template <class Real>
INLINE int64_t find(const Real* x, int64_t size, int32_t* places) {
    int64_t count = 0, i = 0;
    for (; i + LANES <= size; i += LANES) {
        int32_t found = 0;
        for (int64_t k = 0; k < LANES; ++k) found |= x[i + k] != 0;
        if (!found) continue;
        for (int64_t k = 0; k < LANES; ++k) {
            places[count] = int32_t(i + k);
            count += x[i + k] != 0;
        }
    }
    for (; i < size; ++i)
        if (x[i] != 0) places[count++] = int32_t(i);
    return count;
}

// WIDTH vectors of y: the sum of the rows of w at `places`, each times its x.
template <int64_t WIDTH, class Real>
INLINE void sum_rows(Real* y, const Real* x, const int32_t* places, int64_t count, const Real* w, int64_t outputs) {
    Vector<Real> sum[WIDTH];
    for (int64_t i = 0; i < WIDTH; ++i) sum[i] = all(Real(0));
    for (int64_t event = 0; event < count; ++event) {
        const Vector<Real> value = all(x[places[event]]);
        const Real* row = w + places[event] * outputs;
        for (int64_t i = 0; i < WIDTH; ++i) sum[i] = sum[i] + value * load(row + i * LANES);
    }
    for (int64_t i = 0; i < WIDTH; ++i) store(y + i * LANES, sum[i]);
}

template <class Real>
INLINE void product_row(Real* y, const Real* x, const int32_t* places, int64_t count, const Real* w, int64_t outputs) {
    int64_t o = 0;
    for (; o + VECTORS * LANES <= outputs; o += VECTORS * LANES)
        sum_rows<VECTORS>(y + o, x, places, count, w + o, outputs);
    for (; o + LANES <= outputs; o += LANES) sum_rows<1>(y + o, x, places, count, w + o, outputs);
    for (; o < outputs; ++o) {
        y[o] = 0;
        for (int64_t event = 0; event < count; ++event) y[o] += x[places[event]] * w[places[event] * outputs + o];
    }
}

template <class Real>
int32_t spike_product(int64_t* next, const Real* x, const Real* w, Real* y, int64_t rows, int64_t channels,
                      int64_t outputs) {
    const Scratch scratch((channels + 1) * sizeof(int32_t));
    int32_t* places = scratch.as<int32_t>();
    if (!places) return NO_MEMORY;
    for (int64_t block; (block = take(next)) * ROWS < rows;)
        for (int64_t row = block * ROWS; row < least(rows, (block + 1) * ROWS); ++row) {
            const int64_t count = find(x + row * channels, channels, places);
            product_row(y + row * outputs, x + row * channels, places, count, w, outputs);
        }
    return 0;
}

// Blocks of `width` channels: the elements of x and the rows of the gradient that they share are read once.
template <class Real>
int32_t spike_product_backward(int64_t* next, const Real* x, const Real* grad, Real* grad_w, int64_t rows,
                               int64_t channels, int64_t outputs, int64_t width) {
    const Scratch memory(width * outputs * sizeof(Real)), list((width + 1) * sizeof(int32_t));
    Real* sum = memory.as<Real>();
    int32_t* places = list.as<int32_t>();
    if (!sum || !places) return NO_MEMORY;
    for (int64_t first; (first = take(next) * width) < channels;) {
        const int64_t count = least(width, channels - first), size = count * outputs;
        Real* total = grad_w + first * outputs;
        std::memset(total, 0, size * sizeof(Real));
        for (int64_t begin = 0; begin < rows; begin += SUMMED_ROWS) {
            std::memset(sum, 0, size * sizeof(Real));
            for (int64_t row = begin; row < least(rows, begin + SUMMED_ROWS); ++row) {
                const Real* values = x + row * channels + first;
                for (int64_t i = 0; i < count; i += 64 / sizeof(Real)) prefetch(values + AHEAD * channels + i);
                const int64_t events = find(values, count, places);
                for (int64_t event = 0; event < events; ++event)
                    add(sum + places[event] * outputs, grad + row * outputs, values[places[event]], outputs);
            }
            add(total, sum, Real(1), size);
        }
    }
    return 0;
}

}  // namespace

KERNEL(spike_product)
KERNEL(spike_product_backward)
