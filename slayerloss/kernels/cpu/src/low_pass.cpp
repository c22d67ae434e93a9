// The exponential low-pass y[t] = decay y[t-1] + x[t], and its adjoint with the gradient of the decay. It runs in double.

#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t CHUNK = 512;  // steps of a tile

struct Decays {
    const double* values;  // (channels)
    int64_t channels;

    template <int64_t WIDTH>
    void of_rows(double* decay, const Block<WIDTH>& block) const {
        per_row(decay, WIDTH, values, channels, block.signal.inner, block.first, block.rows);
    }
};

template <class Real>
struct Forward {
    Signal signal;
    Decays decays;
    const Real* x;
    Real* y;
    const Real* initial;  // (rows), y before the first step

    int64_t bytes(int64_t width) const { return width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* tile = reinterpret_cast<Real*>(memory);
        double decay[WIDTH], now[WIDTH] = {};
        int32_t largest[WIDTH] = {};
        decays.of_rows(decay, block);
        for (int64_t i = 0; i < block.rows; ++i) now[i] = initial[block.first + i];
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t steps = least(CHUNK, signal.steps - begin);
            block.fill(tile, x, begin, steps);
            for (int64_t t = 0; t < steps; ++t) {
                Real* row = tile + t * WIDTH;
                for (int64_t i = 0; i < WIDTH; ++i) {
                    const int32_t size = magnitude(float(row[i]));
                    largest[i] = largest[i] > size ? largest[i] : size;
                }
                for (int64_t i = 0; i < WIDTH; ++i) now[i] = decay[i] * now[i] + double(row[i]);
                for (int64_t i = 0; i < WIDTH; ++i) row[i] = Real(now[i]);
            }
            block.empty(tile, y, begin, steps);
        }
        return above<WIDTH>(largest, INFINITE) ? NOT_FINITE : 0;
    }
};

template <class Real>
struct Backward {
    Signal signal;
    Decays decays;
    const Real* grad;
    Real* grad_x;
    Real* grad_initial;  // (rows)
    const Real* y;       // null where the decay does not learn
    const Real* initial;
    double* grad_decay;  // (rows)

    int64_t bytes(int64_t width) const { return 2 * width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* tile = reinterpret_cast<Real*>(memory);
        Real* states = tile + CHUNK * WIDTH;
        double decay[WIDTH], later[WIDTH] = {}, sum[WIDTH] = {};
        decays.of_rows(decay, block);
        for (int64_t number = (signal.steps - 1) / CHUNK; number >= 0; --number) {
            const int64_t begin = number * CHUNK, steps = least(CHUNK, signal.steps - begin);
            block.fill(tile, grad, begin, steps);
            if (y) {  // what the gradient of the step after a state is multiplied with
                block.fill(states, y, begin, steps);
                for (int64_t i = 0; i < WIDTH; ++i) sum[i] += later[i] * double(states[(steps - 1) * WIDTH + i]);
            }
            for (int64_t t = steps - 1; t >= 0; --t) {
                Real* row = tile + t * WIDTH;
                for (int64_t i = 0; i < WIDTH; ++i) later[i] = decay[i] * later[i] + double(row[i]);
                for (int64_t i = 0; i < WIDTH; ++i) row[i] = Real(later[i]);
                if (y && t > 0)
                    for (int64_t i = 0; i < WIDTH; ++i) sum[i] += later[i] * double(states[(t - 1) * WIDTH + i]);
            }
            block.empty(tile, grad_x, begin, steps);
        }
        for (int64_t i = 0; i < block.rows; ++i) {
            const int64_t row = block.first + i;
            grad_initial[row] = Real(decay[i] * later[i]);
            if (y) grad_decay[row] = sum[i] + later[i] * double(initial[row]);
        }
        return 0;
    }
};

template <class Real>
int32_t low_pass(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps, int64_t time_first, int64_t width,
                 int64_t inner, const double* decays, int64_t channels, const Real* initial) {
    const Signal signal{rows, steps, time_first, inner};
    return all_blocks(Forward<Real>{signal, {decays, channels}, x, y, initial}, signal, width, next);
}

template <class Real>
int32_t low_pass_adjoint(int64_t* next, const Real* grad, Real* grad_x, int64_t rows, int64_t steps, int64_t time_first,
                         int64_t width, int64_t inner, const double* decays, int64_t channels, Real* grad_initial,
                         const Real* y, const Real* initial, double* grad_decay) {
    const Signal signal{rows, steps, time_first, inner};
    return all_blocks(Backward<Real>{signal, {decays, channels}, grad, grad_x, grad_initial, y, initial, grad_decay},
                      signal, width, next);
}

}  // namespace

KERNEL(low_pass)
KERNEL(low_pass_adjoint)
