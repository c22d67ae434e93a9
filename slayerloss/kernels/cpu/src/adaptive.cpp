// A threshold that rises with every spike and relaxes to its base, with a refractory state on top of it; and the adjoint
// of both, in which spikes are constants.

#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t CHUNK = 128;  // steps of a tile

// Of threshold and refractory state: what a step keeps of each, and both before the run.
template <class Real>
struct Adaptation {
    const double *keep_threshold, *keep_refractory;
    int64_t threshold_channels, refractory_channels;
    const Real *threshold, *refractory;  // (rows)
    double base, step;                   // in units of the input
};

template <class Real>
struct Forward {
    Signal signal;
    Adaptation<Real> adaptation;
    const Real* x;
    Real* threshold;
    Real* refractory;
    Real scale;

    int64_t bytes(int64_t width) const { return 2 * width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        constexpr int64_t VECTORS = WIDTH / LANES;
        Real* tile = reinterpret_cast<Real*>(memory);
        Real* other = tile + CHUNK * WIDTH;
        const Ints base = all(int32_t(adaptation.base * scale)), step = all(int32_t(adaptation.step * scale));
        const Real unit = 1 / scale;
        Ints keep_threshold[VECTORS], keep_refractory[VECTORS], height[VECTORS], rest[VECTORS], worst = all(0);
        whole_keeps<WIDTH>(keep_threshold, adaptation.keep_threshold, adaptation.threshold_channels, signal,
                           block.first, block.rows);
        whole_keeps<WIDTH>(keep_refractory, adaptation.keep_refractory, adaptation.refractory_channels, signal,
                           block.first, block.rows);
        start<WIDTH>(height, adaptation.threshold, block, worst);
        start<WIDTH>(rest, adaptation.refractory, block, worst);
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t steps = least(CHUNK, signal.steps - begin);
            block.fill(tile, x, begin, steps);
            for (int64_t t = 0; t < steps; ++t) {
                for (int64_t i = 0; i < VECTORS; ++i) {
                    Real* at = tile + t * WIDTH + i * LANES;
                    const Ints drive = whole<Real>(load(at), scale, worst);
                    const Ints theta = decayed(height[i] - base, keep_threshold[i]) + base;
                    const Ints r = decayed(rest[i], keep_refractory[i]);
                    const Ints fires = ~(theta + r > drive);
                    store(at, convert<Real, int32_t>(theta) * all(unit));
                    store(other + t * WIDTH + i * LANES, convert<Real, int32_t>(r) * all(unit));
                    height[i] = theta + (step & fires);
                    rest[i] = r + ((theta + theta) & fires);
                }
            }
            block.empty(tile, threshold, begin, steps);
            block.empty(other, refractory, begin, steps);
        }
        return out_of_range(worst) ? TOO_LARGE : 0;
    }

    template <int64_t WIDTH>
    void start(Ints* states, const Real* given, const Block<WIDTH>& block, Ints& worst) const {
        Real first[WIDTH] = {};
        for (int64_t i = 0; i < block.rows; ++i) first[i] = given[block.first + i];
        for (int64_t i = 0; i < WIDTH / LANES; ++i) states[i] = whole<Real>(load(first + i * LANES), scale, worst);
    }
};

// The gradients g of theta[t] = k (theta'[t-1] - base) + base and r[t] = l r'[t-1], backward in time.
template <class Real>
struct Backward {
    Signal signal;
    Adaptation<Real> adaptation;
    const Real* sources[5];  // x, theta, r, and the gradients with respect to both
    Real* grad_threshold;    // (rows), with respect to the states before the run
    Real* grad_refractory;
    double* sums_threshold;  // (rows), with respect to k and l
    double* sums_refractory;
    Real scale;

    int64_t bytes(int64_t width) const { return 5 * width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* tiles[5];
        for (int64_t i = 0; i < 5; ++i) tiles[i] = reinterpret_cast<Real*>(memory) + i * CHUNK * WIDTH;
        const double base = adaptation.base, step = adaptation.step;
        double k[WIDTH], l[WIDTH], g_theta[WIDTH] = {}, g_r[WIDTH] = {}, sum_k[WIDTH] = {}, sum_l[WIDTH] = {};
        per_row(k, WIDTH, adaptation.keep_threshold, adaptation.threshold_channels, signal.inner, block.first,
                block.rows);
        per_row(l, WIDTH, adaptation.keep_refractory, adaptation.refractory_channels, signal.inner, block.first,
                block.rows);
        for (int64_t number = (signal.steps - 1) / CHUNK; number >= 0; --number) {
            const int64_t begin = number * CHUNK, steps = least(CHUNK, signal.steps - begin);
            for (int64_t i = 0; i < 5; ++i) block.fill(tiles[i], sources[i], begin, steps);
            for (int64_t t = steps - 1; t >= 0; --t) {
                const Real *x = tiles[0] + t * WIDTH, *theta = tiles[1] + t * WIDTH, *r = tiles[2] + t * WIDTH;
                const Real *to_theta = tiles[3] + t * WIDTH, *to_r = tiles[4] + t * WIDTH;
                for (int64_t i = 0; i < WIDTH; ++i) {
                    const double fires = reaches(x[i] * scale, (theta[i] + r[i]) * scale) ? 1 : 0;
                    sum_k[i] += g_theta[i] * (theta[i] + step * fires - base);
                    sum_l[i] += g_r[i] * (r[i] + 2 * theta[i] * fires);
                    const double to_rest = l[i] * g_r[i];  // the gradient with respect to r'[t]
                    g_theta[i] = to_theta[i] + k[i] * g_theta[i] + 2 * fires * to_rest;
                    g_r[i] = to_r[i] + to_rest;
                }
            }
        }
        for (int64_t i = 0; i < block.rows; ++i) {
            const int64_t row = block.first + i;
            grad_threshold[row] = Real(k[i] * g_theta[i]);
            grad_refractory[row] = Real(l[i] * g_r[i]);
            sums_threshold[row] = sum_k[i] + g_theta[i] * (adaptation.threshold[row] - base);
            sums_refractory[row] = sum_l[i] + g_r[i] * adaptation.refractory[row];
        }
        return 0;
    }

    // trunc(drive) >= limit, where limit is a whole number
    static bool reaches(Real drive, Real limit) { return limit > 0 ? drive >= limit : drive > limit - 1; }
};

template <class Real>
int32_t adaptive_threshold(int64_t* next, const Real* x, Real* threshold, Real* refractory, int64_t rows, int64_t steps,
                           int64_t time_first, int64_t width, int64_t inner, const double* keep_threshold,
                           int64_t threshold_channels, const double* keep_refractory, int64_t refractory_channels,
                           const Real* first_threshold, const Real* first_refractory, double base, double step,
                           double scale) {
    const Signal signal{rows, steps, time_first, inner};
    const Adaptation<Real> adaptation{keep_threshold,  keep_refractory,  threshold_channels, refractory_channels,
                                      first_threshold, first_refractory, base,               step};
    return all_blocks(Forward<Real>{signal, adaptation, x, threshold, refractory, Real(scale)}, signal, width, next);
}

template <class Real>
int32_t adaptive_adjoint(int64_t* next, const Real* x, const Real* threshold, const Real* refractory,
                         const Real* to_threshold, const Real* to_refractory, int64_t rows, int64_t steps,
                         int64_t time_first, int64_t width, int64_t inner, const double* keep_threshold,
                         int64_t threshold_channels, const double* keep_refractory, int64_t refractory_channels,
                         const Real* first_threshold, const Real* first_refractory, Real* grad_threshold,
                         Real* grad_refractory, double* sums_threshold, double* sums_refractory, double base,
                         double step, double scale) {
    const Signal signal{rows, steps, time_first, inner};
    const Adaptation<Real> adaptation{keep_threshold,  keep_refractory,  threshold_channels, refractory_channels,
                                      first_threshold, first_refractory, base,               step};
    return all_blocks(Backward<Real>{signal,
                                     adaptation,
                                     {x, threshold, refractory, to_threshold, to_refractory},
                                     grad_threshold,
                                     grad_refractory,
                                     sums_threshold,
                                     sums_refractory,
                                     Real(scale)},
                      signal, width, next);
}

}  // namespace

KERNEL(adaptive_threshold)
KERNEL(adaptive_adjoint)
