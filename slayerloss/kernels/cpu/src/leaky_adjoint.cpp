// The adjoint of y[t] = keep y[t-1] + x[t]: backward in time, and the gradient with respect to keep.

#include "kernel.h"
#include "population.h"

namespace {

template <class Real>
struct LeakyAdjoint {
    Signal signal;
    const Real* grad;
    Real* grad_x;
    const Real* keep;  // (channels)
    int64_t channels;
    Real* carry;         // (rows), becomes the gradient with respect to the first state
    const Real* states;  // y, or null where keep does not learn
    const Real* initial;  // null for zero
    Real threshold;     // above which a state is reset to zero before the next step
    double* grad_keep;  // (rows)

    template <int64_t WIDTH>
    void block(int64_t number) const {
        const int64_t first = number * WIDTH, rows = signal.rows - first < WIDTH ? signal.rows - first : WIDTH;
        const int64_t row_stride = signal.row_stride(), step_stride = signal.step_stride();
        constexpr int64_t CHUNK = TILE_BYTES / 2 / int64_t(sizeof(Real)) / WIDTH;  // of two tiles
        alignas(64) Real g[CHUNK * WIDTH], y[CHUNK * WIDTH], kept[WIDTH], later[WIDTH], before[WIDTH];
        double sum[WIDTH] = {};
        per_row(kept, WIDTH, keep, channels, signal.inner, first, rows);
        for (int64_t i = 0; i < WIDTH; ++i) later[i] = 0;
        for (int64_t end = signal.steps; end > 0;) {
            const int64_t steps = end < CHUNK ? end : CHUNK, begin = end - steps;
            const int64_t offset = first * row_stride + begin * step_stride;
            fill_tile(g, WIDTH, grad + offset, row_stride, step_stride, rows, steps);
            if (states) fill_tile(y, WIDTH, states + offset, row_stride, step_stride, rows, steps);
            for (int64_t t = steps - 1; t >= 0; --t) {
                Real* now = g + t * WIDTH;
                if (states && begin + t + 1 < signal.steps) {  // `later` is keep times the gradient one step on
                    for (int64_t i = 0; i < WIDTH; ++i) {
                        const Real state = y[t * WIDTH + i];
                        sum[i] += double(before[i]) * (state > threshold ? Real(0) : state);
                    }
                }
                for (int64_t i = 0; i < WIDTH; ++i) {
                    now[i] += later[i];
                    before[i] = now[i];
                    later[i] = now[i] * kept[i];
                }
            }
            empty_tile(g, WIDTH, grad_x + offset, row_stride, step_stride, rows, steps);
            end = begin;
        }
        for (int64_t i = 0; i < rows; ++i) {
            carry[first + i] = later[i];
            if (states) grad_keep[first + i] = sum[i] + (initial ? double(before[i]) * initial[first + i] : 0);
        }
    }

    void blocks(int64_t* next) const {
        const int64_t width = signal.time_first ? WIDE : NARROW;
        for (int64_t number; (number = take(next)) * width < signal.rows;) {
            if (signal.time_first)
                block<WIDE>(number);
            else
                block<NARROW>(number);
        }
    }
};

template <class Real>
int32_t leaky_adjoint(int64_t* next, const Real* grad, Real* grad_x, int64_t rows, int64_t steps, int64_t time_first,
                      int64_t inner, const Real* keep, int64_t channels, Real* carry, const Real* states,
                      const Real* initial, double threshold, double* grad_keep) {
    LeakyAdjoint<Real>{{rows, steps, time_first, inner},
                       grad,
                       grad_x,
                       keep,
                       channels,
                       carry,
                       states,
                       initial,
                       Real(threshold),
                       grad_keep}
        .blocks(next);
    return 0;
}

}  // namespace

KERNEL(leaky_adjoint)
