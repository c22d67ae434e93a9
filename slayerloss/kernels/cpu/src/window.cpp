// Moving windows: the sum, mean or maximum of the last steps at every step, at a cost that no window makes higher.
//
// The steps are cut into spans as long as the window. A window that ends in a span is the end of the span before, and
// the beginning of this one: what is left of one reduction backward, and one forward. Nothing is subtracted, so that no
// rounding error is carried on. Sums run in double. The adjoint of a sum is the same with time reversed.

#include "kernel.h"
#include "tiles.h"

namespace {

enum Reduction { SUM, MEAN, MEAN_OF_SEEN, LARGEST, LARGEST_OF_SEEN };

constexpr int64_t CHUNK = 256;  // steps of a tile, about

template <class Real>
struct Sum {
    using State = double;
    static constexpr double nothing = 0;
    template <int64_t WIDTH>
    static INLINE void join(double* y, const double* a, const double* b) {
        for (int64_t j = 0; j < WIDTH; ++j) y[j] = a[j] + b[j];
    }
};

template <class Real>
struct Largest {
    using State = Real;
    static constexpr Real nothing = -__builtin_huge_valf();
    template <int64_t WIDTH>
    static INLINE void join(Real* y, const Real* a, const Real* b) {
        for (int64_t j = 0; j < WIDTH; j += LANES) store(y + j, larger<Real>(load(a + j), load(b + j)));
    }
};

template <class Real, class Operation>
struct Window {
    using State = typename Operation::State;
    static constexpr bool EXACT = sizeof(Real) == sizeof(double);  // else a product, in double, rounds as a quotient
    Signal signal;
    const Real* x;
    Real* y;
    int64_t span;    // steps of the window, and one more than there are at most
    int64_t window;  // steps of the window
    const int64_t* lengths;
    int64_t sample;  // rows of one
    Reduction reduction;
    bool reverse;

    int64_t chunk() const { return span > CHUNK ? CHUNK : CHUNK / span * span; }

    int64_t bytes(int64_t width) const { return width * (2 * chunk() * sizeof(Real) + (span + 1) * sizeof(State)); }

    // What the sum at a step is divided by.
    double divisor(int64_t t) const {
        return double(reduction == MEAN_OF_SEEN ? least(t + 1, window) : reduction == MEAN ? window : 1);
    }

    // Steps of a chunk, in the order of their passing.
    struct Passing {
        int64_t begin, steps, stride, start;  // `start` and `stride`: of the tile
        bool reverse;

        int64_t at(int64_t i) const { return start + i * stride; }
        int64_t time(int64_t i) const { return reverse ? begin + steps - 1 - i : begin + i; }
    };

    template <int64_t WIDTH>
    Passing passing(int64_t passed, int64_t steps) const {
        if (reverse) return {signal.steps - passed - steps, steps, -WIDTH, (steps - 1) * WIDTH, true};
        return {passed, steps, WIDTH, 0, false};
    }

    template <int64_t WIDTH>
    void fill(const Block<WIDTH>& block, Real* tile, const Passing& steps) const {
        block.fill(tile, x, steps.begin, steps.steps);
        if (!reverse) return;
        block.mask(tile, lengths, sample, steps.begin, steps.steps);
        if (reduction != MEAN_OF_SEEN) return;
        for (int64_t i = 0; i < steps.steps; ++i) {
            Real* row = tile + steps.at(i);
            const Real count = Real(divisor(steps.time(i)));
            for (int64_t j = 0; j < WIDTH; ++j) row[j] /= count;
        }
    }

    // The reductions of steps first .. last-1 of a span, joined with what is left of the span before.
    template <int64_t WIDTH>
    void forward(const Real* in, Real* out, const Passing& steps, int64_t offset, int64_t first, int64_t last,
                 const State* left, State* until, int32_t* worst) const {
        State now[WIDTH];
        int32_t largest[WIDTH];
        std::memcpy(now, until, sizeof now);
        std::memcpy(largest, worst, sizeof largest);
        const bool divides = reduction == MEAN || (reduction == MEAN_OF_SEEN && !reverse);
        for (int64_t i = first; i < last; ++i) {
            const int64_t at = steps.at(offset + i - first);
            State value[WIDTH], joined[WIDTH];
            for (int64_t j = 0; j < WIDTH; ++j) {
                value[j] = State(in[at + j]);
                const int32_t size = magnitude(float(in[at + j]));
                largest[j] = largest[j] > size ? largest[j] : size;
            }
            Operation::template join<WIDTH>(now, now, value);
            Operation::template join<WIDTH>(joined, now, left + (i + 1) * WIDTH);
            if (divides) {
                const State count = State(divisor(steps.time(offset + i - first))), share = 1 / count;
                for (int64_t j = 0; j < WIDTH; ++j) joined[j] = EXACT ? joined[j] / count : joined[j] * share;
            }
            for (int64_t j = 0; j < WIDTH; ++j) out[at + j] = Real(joined[j]);
        }
        std::memcpy(until, now, sizeof now);
        std::memcpy(worst, largest, sizeof largest);
    }

    // What is left of a span from each of the steps first .. last-1 on.
    template <int64_t WIDTH>
    void backward(const Real* in, const Passing& steps, int64_t offset, int64_t first, int64_t last,
                  State* left) const {
        State now[WIDTH];
        std::memcpy(now, left + last * WIDTH, sizeof now);
        for (int64_t i = last - 1; i >= first; --i) {
            State value[WIDTH];
            for (int64_t j = 0; j < WIDTH; ++j) value[j] = State(in[steps.at(offset + i - first) + j]);
            Operation::template join<WIDTH>(now, now, value);
            std::memcpy(left + i * WIDTH, now, sizeof now);
        }
    }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        const int64_t all_steps = signal.steps, tile_steps = chunk();
        State* left = reinterpret_cast<State*>(memory);
        Real* in = reinterpret_cast<Real*>(left + (span + 1) * WIDTH);
        Real* out = in + tile_steps * WIDTH;
        const State before = reduction == LARGEST ? State(0) : State(Operation::nothing);
        for (int64_t i = 0; i < span * WIDTH; ++i) left[i] = before;
        for (int64_t i = span * WIDTH; i < (span + 1) * WIDTH; ++i) left[i] = Operation::nothing;
        State until[WIDTH] = {};
        int32_t worst[WIDTH] = {};
        for (int64_t passed = 0; passed < all_steps;) {
            const int64_t in_span = passed % span;
            const int64_t most = span > tile_steps ? least(tile_steps, span - in_span) : tile_steps;
            const Passing steps = passing<WIDTH>(passed, least(most, all_steps - passed));
            fill(block, in, steps);
            for (int64_t offset = 0; offset < steps.steps;) {
                const int64_t first = (passed + offset) % span;
                const int64_t last = least(span, first + steps.steps - offset);
                if (first == 0)
                    for (State& value : until) value = Operation::nothing;
                forward<WIDTH>(in, out, steps, offset, first, last, left, until, worst);
                if (last == span && span <= tile_steps) backward<WIDTH>(in, steps, offset, 0, span, left);
                offset += last - first;
            }
            if (!reverse) block.mask(out, lengths, sample, steps.begin, steps.steps);
            block.empty(out, y, steps.begin, steps.steps);
            passed += steps.steps;
            if (passed % span == 0 && span > tile_steps && passed < all_steps) {
                for (int64_t last = span; last > 0;) {
                    const int64_t count = least(tile_steps, last);
                    const Passing again = passing<WIDTH>(passed - span + last - count, count);
                    fill(block, in, again);
                    backward<WIDTH>(in, again, 0, last - count, last, left);
                    last -= count;
                }
            }
        }
        return above<WIDTH>(worst, INFINITE) ? NOT_FINITE : 0;
    }
};

template <class Real>
int32_t moving_window(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps, int64_t time_first,
                      int64_t width, int64_t span, int64_t window, const int64_t* lengths, int64_t sample,
                      int32_t reduction, int32_t reverse) {
    const Signal signal{rows, steps, time_first, 1};
    const auto of = Reduction(reduction);
    if (of == LARGEST || of == LARGEST_OF_SEEN)
        return all_blocks(Window<Real, Largest<Real>>{signal, x, y, span, window, lengths, sample, of, reverse != 0},
                          signal, width, next);
    return all_blocks(Window<Real, Sum<Real>>{signal, x, y, span, window, lengths, sample, of, reverse != 0}, signal,
                      width, next);
}

}  // namespace

KERNEL(moving_window)
