// The sigma-delta unit: a running sum, an offset, a rectification, and the changes of that which reach a threshold. The
// sum can be left out, and then it is the delta unit alone. The backward pass goes through the steps once more.

#include "exponential.h"
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t CHUNK = 512;  // steps of a tile

// What is the same for a whole call, or belongs to channels.
template <class Real>
struct Unit {
    Real lowest;  // of the value whose changes are sent
    const Real* threshold;
    int64_t threshold_channels;
    const Real* offset;  // null: none
    int64_t offset_channels;
    const Real* gain;  // (rows), of what is sent; null: 1
};

// The states of all rows; in the forward pass those before the run become those after it.
template <class Real>
struct States {
    Real* sum;  // null: the input is the value itself
    Real* before;
    Real* residual;
    Real* error;  // null: a change is held against the threshold, not the sum of the changes
};

#if defined(VECTOR_TYPES) && (defined(__clang__) || __GNUC__ >= 12)
#define SHUFFLES  // vectors without a way through memory
#endif

#ifdef SHUFFLES
template <class T>
struct HalfOf {
    typedef T type __attribute__((vector_size(LANES / 2 * sizeof(T))));
};
template <class T>
using Half = typename HalfOf<T>::type;

// sum += x, and what that is.
template <class Real>
INLINE Half<Real> added_half(double* sum, const Half<Real>& x) {
    Half<double> total;
    std::memcpy(&total, sum, sizeof total);
    total += __builtin_convertvector(x, Half<double>);
    std::memcpy(sum, &total, sizeof total);
    return __builtin_convertvector(total, Half<Real>);
}

template <class Real, size_t... Lane>
INLINE Vector<Real> added_halves(double* sum, const Vector<Real>& x, std::index_sequence<Lane...>) {
    const Half<Real> low = added_half<Real>(sum, __builtin_shufflevector(x, x, Lane...));
    const Half<Real> high = added_half<Real>(sum + LANES / 2, __builtin_shufflevector(x, x, (LANES / 2 + Lane)...));
    return __builtin_shufflevector(low, high, Lane..., (LANES / 2 + Lane)...);
}
#endif

// sum += x, in double, and what that is; in halves of a vector, which fill a register in double.
template <class Real>
INLINE Vector<Real> added(double* sum, const Vector<Real>& x) {
#ifdef SHUFFLES
    return added_halves<Real>(sum, x, std::make_index_sequence<LANES / 2>());
#else
    Real lanes[LANES];
    store(lanes, x);
    for (int i = 0; i < LANES; ++i) sum[i] += double(lanes[i]);
    for (int i = 0; i < LANES; ++i) lanes[i] = Real(sum[i]);
    return load(lanes);
#endif
}

// The rows of a block side by side. Rows that are missing have zeros, as where there are no values.
template <class Real, int64_t WIDTH>
struct Neurons {
    Real lowest;
    Real offset[WIDTH], threshold[WIDTH], gain[WIDTH], before[WIDTH], residual[WIDTH], error[WIDTH];
    double sum[WIDTH];  // which is more than the state of the run holds

    Neurons(const Unit<Real>& unit, const States<Real>& states, const Block<WIDTH>& block) : lowest(unit.lowest) {
        of_channels(offset, unit.offset, unit.offset_channels, block);
        of_channels(threshold, unit.threshold, unit.threshold_channels, block);
        of_rows(before, states.before, block);
        of_rows(residual, states.residual, block);
        of_rows(error, states.error, block);
        of_rows(sum, states.sum, block);
        of_rows(gain, unit.gain, block);
        for (int64_t i = 0; !unit.gain && i < WIDTH; ++i) gain[i] = 1;
    }

    template <class To>
    static void of_rows(To* to, const Real* values, const Block<WIDTH>& block) {
        const int64_t known = values ? least(WIDTH, block.rows) : 0;
        for (int64_t i = 0; i < known; ++i) to[i] = To(values[block.first + i]);
        for (int64_t i = known; i < WIDTH; ++i) to[i] = 0;
    }

    static void of_channels(Real* to, const Real* values, int64_t channels, const Block<WIDTH>& block) {
        if (!values || channels == 1)
            for (int64_t i = 0; i < WIDTH; ++i) to[i] = values ? values[0] : Real(0);
        else
            per_row(to, WIDTH, values, channels, block.signal.inner, block.first, block.rows);
    }

    template <class From>
    static void to_rows(Real* values, const From* from, const Block<WIDTH>& block) {
        for (int64_t i = 0; values && i < least(WIDTH, block.rows); ++i) values[block.first + i] = Real(from[i]);
    }

    void keep(const States<Real>& states, const Block<WIDTH>& block) const {
        to_rows(states.sum, sum, block);
        to_rows(states.before, before, block);
        to_rows(states.residual, residual, block);
        to_rows(states.error, error, block);
    }

    // One step of the rows from i on: the change, and what of it is sent. `driven` is the sum with its offset.
    template <bool SUMS, bool CUMULATES>
    INLINE Vector<Real> step(int64_t i, const Vector<Real>& x, Vector<Real>& driven, Vector<Real>& change) {
        const Vector<Real> zero = all(Real(0));
        driven = (SUMS ? added<Real>(sum + i, x) : x) + load(offset + i);
        const Vector<Real> value = larger<Real>(driven, all(lowest));
        change = value - load(before + i) + load(residual + i);
        const Vector<Real> compared = CUMULATES ? load(error + i) + change : change;
        const Vector<Real> sent = where_at_least<Real>(size_of<Real>(compared), load(threshold + i), change, zero);
        if (CUMULATES) store(error + i, where_at_least<Real>(zero, size_of<Real>(sent), compared, zero));
        store(residual + i, change - sent);
        store(before + i, value);
        return sent;
    }
};

// Cut down to whole numbers; what is so large that it has no fraction stays.
template <class Real>
INLINE Vector<Real> cut_down(const Vector<Real>& x) {
    using Whole = typename Power<Real>::Bits;
    const Vector<Real> cut = convert<Real, Whole>(convert<Whole, Real>(x));
    const Vector<Real> down = where_at_least<Real>(x, cut, cut, cut - all(Real(1)));
    return where_at_least<Real>(size_of<Real>(x), all(Real(Whole(1) << Power<Real>::exponent)), x, down);
}

template <class Real>
struct Forward {
    Signal signal;
    Unit<Real> unit;
    States<Real> states;
    const Real* x;
    Real* y;
    Real scale;  // of the messages: they are multiples of 1 / scale

    int64_t bytes(int64_t width) const { return width * CHUNK * int64_t(sizeof(Real)); }

    template <bool SUMS, bool CUMULATES, int64_t WIDTH>
    int32_t run(const Block<WIDTH>& block, Real* tile) const {
        const bool in_place = signal.time_first && block.rows == WIDTH;  // memory is a tile already
        const int64_t stride = in_place ? signal.rows : WIDTH;
        Neurons<Real, WIDTH> neurons(unit, states, block);
        Ints worst = all(0);
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t count = least(CHUNK, signal.steps - begin);
            if (!in_place) block.fill(tile, x, begin, count);
            const Real* in = in_place ? x + block.offset(begin) : tile;
            Real* out = in_place ? y + block.offset(begin) : tile;
            for (int64_t t = 0; t < count; ++t)
                for (int64_t i = 0; i < WIDTH; i += LANES) {
                    const Vector<Real> given = load(in + t * stride + i);
                    worst = larger<int32_t>(worst, bits_as<int32_t, float>(convert<float, Real>(given)) & all(0x7fffffff));
                    Vector<Real> driven, change;
                    const Vector<Real> sent = neurons.template step<SUMS, CUMULATES>(i, given, driven, change);
                    const Vector<Real> each = load(neurons.gain + i) * all(1 / scale);
                    store(out + t * stride + i, cut_down<Real>(sent * all(scale)) * each);
                }
            if (!in_place) block.empty(tile, y, begin, count);
        }
        neurons.keep(states, block);
        int32_t found = 0;
        for (int i = 0; i < LANES; ++i) found |= worst[i] > INFINITE;
        return found ? NOT_FINITE : 0;
    }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* tile = reinterpret_cast<Real*>(memory);
        if (states.error) return states.sum ? run<true, true>(block, tile) : run<false, true>(block, tile);
        return states.sum ? run<true, false>(block, tile) : run<false, false>(block, tile);
    }
};

// What is sent counts as the change itself, so that its derivative by the value is 1, and by the value one step before
// -1; where it is held back, too. The derivative by the threshold is -1 times the sign of a change that is held back,
// and of one that is sent what an exponential of its distance to the threshold says.
template <class Real>
struct Backward {
    Signal signal;
    Unit<Real> unit;
    States<Real> states;
    const Real* x;
    const Real* grad;
    Real* grad_x;
    Real* grad_sum;     // (rows), of the states after the run, which becomes that of those before it
    Real* grad_before;  // the same
    double* grad_threshold;  // (rows), or null
    double* grad_offset;     // (rows), or null
    Real tau, height;

    int64_t bytes(int64_t width) const { return 2 * width * signal.steps * int64_t(sizeof(Real)); }

    // `inverse` is 1 / threshold.
    INLINE Vector<Real> slope(const Vector<Real>& change, const Vector<Real>& threshold,
                              const Vector<Real>& inverse) const {
        const Vector<Real> zero = all(Real(0)), distance = size_of<Real>(change) - threshold;
        const Vector<Real> beyond = larger<Real>(distance, zero);
        const Vector<Real> decayed = power_of_two<Real>(beyond * all(Real(-1 / LOG_2) / tau)) * all(height);
        const Vector<Real> positive = where_at_least<Real>(zero, change, zero, all(Real(1)));
        const Vector<Real> sign = where_at_least<Real>(change, zero, positive, all(Real(-1)));
        return where_at_least<Real>(zero, distance, sign, change * decayed * inverse);
    }

    // The gradients of all steps in place, where memory or the tile `in` has x.
    template <bool SUMS, bool CUMULATES, bool LEARNS, int64_t WIDTH>
    int32_t run(const Block<WIDTH>& block, Real* g, Real* tile) const {
        const bool in_place = signal.time_first && block.rows == WIDTH;
        const Real* in = in_place ? x + block.first : tile;
        const int64_t stride = in_place ? signal.rows : WIDTH;
        block.fill(g, grad, 0, signal.steps);
        if (!in_place) block.fill(tile, x, 0, signal.steps);
        Neurons<Real, WIDTH> neurons(unit, states, block);
        Real inverse[WIDTH], last[WIDTH], of_threshold[WIDTH] = {};
        for (int64_t i = 0; i < WIDTH; ++i)  // rows that are missing have no threshold
            inverse[i] = 1 / (neurons.threshold[i] > Real(1e-30) ? neurons.threshold[i] : Real(1e-30));
        neurons.of_rows(last, grad_before, block);
        for (int64_t i = 0; i < least(WIDTH, block.rows); ++i) grad_before[block.first + i] = -g[i] * neurons.gain[i];
        for (int64_t t = 0; t < signal.steps; ++t)
            for (int64_t i = 0; i < WIDTH; i += LANES) {
                const Vector<Real> zero = all(Real(0)), gain = load(neurons.gain + i), now = load(g + t * WIDTH + i) * gain;
                const Vector<Real> next =
                    t + 1 < signal.steps ? load(g + (t + 1) * WIDTH + i) * gain : zero - load(last + i);
                Vector<Real> driven, change;
                neurons.template step<SUMS, CUMULATES>(i, load(in + t * stride + i), driven, change);
                const Vector<Real> threshold = load(neurons.threshold + i);
                if (LEARNS)
                    store(of_threshold + i, load(of_threshold + i) + slope(change, threshold, load(inverse + i)) * now);
                store(g + t * WIDTH + i, where_at_least<Real>(all(unit.lowest), driven, zero, now - next));
            }
        double later[WIDTH] = {}, all_steps[WIDTH] = {};
        for (int64_t i = 0; SUMS && i < least(WIDTH, block.rows); ++i) later[i] = grad_sum[block.first + i];
        for (int64_t t = signal.steps - 1; t >= 0; --t)
            for (int64_t i = 0; i < WIDTH; i += LANES) {
                const Vector<Real> each = load(g + t * WIDTH + i);
                if (grad_offset) added<Real>(all_steps + i, each);
                if (SUMS) store(g + t * WIDTH + i, added<Real>(later + i, each));
            }
        for (int64_t i = 0; i < least(WIDTH, block.rows); ++i) {
            if (SUMS) grad_sum[block.first + i] = Real(later[i]);
            if (LEARNS) grad_threshold[block.first + i] = -double(of_threshold[i]);
            if (grad_offset) grad_offset[block.first + i] = all_steps[i];
        }
        block.empty(g, grad_x, 0, signal.steps);
        return 0;
    }

    template <bool SUMS, bool CUMULATES, int64_t WIDTH>
    int32_t learning(const Block<WIDTH>& block, Real* g, Real* tile) const {
        return grad_threshold ? run<SUMS, CUMULATES, true>(block, g, tile) : run<SUMS, CUMULATES, false>(block, g, tile);
    }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real *g = reinterpret_cast<Real*>(memory), *tile = g + WIDTH * signal.steps;
        if (states.error) return states.sum ? learning<true, true>(block, g, tile) : learning<false, true>(block, g, tile);
        return states.sum ? learning<true, false>(block, g, tile) : learning<false, false>(block, g, tile);
    }
};

template <class Real>
int32_t sigma_delta(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps, int64_t time_first,
                    int64_t width, int64_t inner, const Real* threshold, int64_t threshold_channels, const Real* offset,
                    int64_t offset_channels, const Real* gain, Real* sum, Real* before, Real* residual, Real* error, double lowest,
                    double scale) {
    const Signal signal{rows, steps, time_first, inner};
    const Unit<Real> unit{Real(lowest), threshold, threshold_channels, offset, offset_channels, gain};
    return all_blocks(Forward<Real>{signal, unit, {sum, before, residual, error}, x, y, Real(scale)}, signal, width,
                      next);
}

template <class Real>
int32_t sigma_delta_backward(int64_t* next, const Real* x, const Real* grad, Real* grad_x, int64_t rows, int64_t steps,
                             int64_t time_first, int64_t width, int64_t inner, const Real* threshold,
                             int64_t threshold_channels, const Real* offset, int64_t offset_channels, const Real* gain, Real* sum,
                             Real* before, Real* residual, Real* error, Real* grad_sum, Real* grad_before,
                             double* grad_threshold, double* grad_offset, double lowest, double tau, double height) {
    const Signal signal{rows, steps, time_first, inner};
    const Unit<Real> unit{Real(lowest), threshold, threshold_channels, offset, offset_channels, gain};
    const Backward<Real> work{signal,   unit,        {sum, before, residual, error}, x,           grad,      grad_x,
                              grad_sum, grad_before, grad_threshold,                 grad_offset, Real(tau), Real(height)};
    return all_blocks(work, signal, width, next);
}

}  // namespace

KERNEL(sigma_delta)
KERNEL(sigma_delta_backward)
