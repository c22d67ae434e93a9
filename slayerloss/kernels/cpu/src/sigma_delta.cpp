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

template <class Value>
INLINE Value* from_row(Value* values, int64_t first) {
    return values ? values + first : values;
}

// A vector of rows of which `rows` exist; of those that are missing, and where there are no values, zeros.
template <class Real>
INLINE Vector<Real> some(const Real* values, int64_t rows) {
    if (!values) return all(Real(0));
    if (rows >= LANES) return load(values);
    Real lanes[LANES] = {};
    for (int64_t i = 0; i < rows; ++i) lanes[i] = values[i];
    return load(lanes);
}

template <class Real>
INLINE void put(Real* values, const Vector<Real>& x, int64_t rows) {
    if (!values) return;
    if (rows >= LANES) return store(values, x);
    for (int64_t i = 0; i < rows; ++i) values[i] = x[i];
}

// sum += x, in double, and what that is; in halves of a vector, which fill a register in double.
template <class Real>
INLINE Vector<Real> added(double* sum, const Vector<Real>& x) {
#ifdef VECTOR_TYPES
    typedef Real Half __attribute__((vector_size(LANES / 2 * sizeof(Real))));
    typedef double Wide __attribute__((vector_size(LANES / 2 * sizeof(double))));
    Half halves[2];
    std::memcpy(halves, &x, sizeof x);
    for (int i = 0; i < 2; ++i) {
        Wide total;
        std::memcpy(&total, sum + i * (LANES / 2), sizeof total);
        total += __builtin_convertvector(halves[i], Wide);
        std::memcpy(sum + i * (LANES / 2), &total, sizeof total);
        halves[i] = __builtin_convertvector(total, Half);
    }
    Vector<Real> y;
    std::memcpy(&y, halves, sizeof y);
    return y;
#else
    Real lanes[LANES];
    store(lanes, x);
    for (int i = 0; i < LANES; ++i) sum[i] += double(lanes[i]);
    for (int i = 0; i < LANES; ++i) lanes[i] = Real(sum[i]);
    return load(lanes);
#endif
}

// As many neighbouring rows as a vector has lanes, which stay in registers.
template <class Real>
struct Neurons {
    Vector<Real> lowest, offset, threshold, before, residual, error;
    double* sum;  // which is more than the state of the run holds

    // `sums`, `offsets` and `thresholds` are of these rows.
    Neurons(const Unit<Real>& unit, const States<Real>& states, double* sums, const Real* offsets,
            const Real* thresholds, int64_t first, int64_t rows)
        : lowest(all(unit.lowest)),
          offset(load(offsets)),
          threshold(load(thresholds)),
          before(some(states.before + first, rows)),
          residual(some(states.residual + first, rows)),
          error(some(from_row(states.error, first), rows)),
          sum(sums) {}

    void keep(const States<Real>& states, int64_t first, int64_t rows) const {
        put(states.before + first, before, rows);
        put(states.residual + first, residual, rows);
        put(from_row(states.error, first), error, rows);
    }

    // One step: the change, and what of it is sent. `driven` is the sum with its offset.
    template <bool SUMS, bool CUMULATES>
    INLINE Vector<Real> step(const Vector<Real>& x, Vector<Real>& driven, Vector<Real>& change) {
        const Vector<Real> zero = all(Real(0));
        driven = (SUMS ? added<Real>(sum, x) : x) + offset;
        const Vector<Real> value = larger<Real>(driven, lowest);
        change = value - before + residual;
        const Vector<Real> compared = CUMULATES ? error + change : change;
        const Vector<Real> sent = where_at_least<Real>(size_of<Real>(compared), threshold, change, zero);
        if (CUMULATES) error = where_at_least<Real>(zero, size_of<Real>(sent), compared, zero);
        residual = change - sent;
        before = value;
        return sent;
    }
};

template <class Real, int64_t WIDTH>
INLINE void fill_sums(double* sums, const Real* values, const Block<WIDTH>& block) {
    for (int64_t i = 0; i < WIDTH; ++i) sums[i] = values && i < block.rows ? double(values[block.first + i]) : 0;
}

template <class Real>
INLINE Vector<Real> gain_of(const Unit<Real>& unit, int64_t first, int64_t rows) {
    return unit.gain ? some(unit.gain + first, rows) : all(Real(1));
}

template <class Real, int64_t WIDTH>
INLINE void of_channels(Real* each, const Real* values, int64_t channels, const Block<WIDTH>& block) {
    if (!values || channels == 1)
        for (int64_t i = 0; i < WIDTH; ++i) each[i] = values ? values[0] : Real(0);
    else
        per_row(each, WIDTH, values, channels, block.signal.inner, block.first, block.rows);
}

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
        Real offsets[WIDTH], thresholds[WIDTH];
        double sums[WIDTH];
        of_channels(offsets, unit.offset, unit.offset_channels, block);
        of_channels(thresholds, unit.threshold, unit.threshold_channels, block);
        fill_sums(sums, states.sum, block);
        Ints worst = all(0);
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t count = least(CHUNK, signal.steps - begin);
            if (!in_place) block.fill(tile, x, begin, count);
            for (int64_t i = 0; i < least(WIDTH, block.rows); i += LANES) {
                const int64_t first = block.first + i, rows = block.rows - i;
                Neurons<Real> neurons(unit, states, sums + i, offsets + i, thresholds + i, first, rows);
                const Vector<Real> each = all(1 / scale) * gain_of(unit, first, rows);
                const Real* in = (in_place ? x + block.offset(begin) : tile) + i;
                Real* out = (in_place ? y + block.offset(begin) : tile) + i;
                for (int64_t t = 0; t < count; ++t) {
                    const Vector<Real> given = load(in + t * stride);
                    worst = larger<int32_t>(worst, bits_as<int32_t, float>(convert<float, Real>(given)) & all(0x7fffffff));
                    Vector<Real> driven, change;
                    const Vector<Real> sent = neurons.template step<SUMS, CUMULATES>(given, driven, change);
                    store(out + t * stride, cut_down<Real>(sent * all(scale)) * each);
                }
                neurons.keep(states, first, rows);  // where the next chunk finds them
            }
            if (!in_place) block.empty(tile, y, begin, count);
        }
        for (int64_t i = 0; states.sum && i < block.rows; ++i) states.sum[block.first + i] = Real(sums[i]);
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

    // The gradients of all steps of a vector of rows, in place, where memory or the tile `in` has x.
    template <bool SUMS, bool CUMULATES, bool LEARNS>
    void steps(Neurons<Real>& neurons, const Real* in, int64_t in_stride, Real* g, int64_t stride, int64_t first,
               int64_t rows) const {
        const Vector<Real> zero = all(Real(0)), gain = gain_of(unit, first, rows);
        Vector<Real> now = load(g) * gain, total = zero;
        const Vector<Real> at_first = now;
        // rows that are missing have no threshold
        const Vector<Real> inverse = all(Real(1)) / larger<Real>(neurons.threshold, all(Real(1e-30)));
        for (int64_t t = 0; t < signal.steps; ++t) {
            Vector<Real> driven, change, next;
            if (t + 1 < signal.steps)
                next = load(g + (t + 1) * stride) * gain;
            else
                next = zero - some(grad_before + first, rows);
            neurons.template step<SUMS, CUMULATES>(load(in + t * in_stride), driven, change);
            if (LEARNS) total += slope(change, neurons.threshold, inverse) * now;
            store(g + t * stride, where_at_least<Real>(neurons.lowest, driven, zero, now - next));
            now = next;
        }
        put(grad_before + first, zero - at_first, rows);
        for (int64_t i = 0; LEARNS && i < least(rows, LANES); ++i) grad_threshold[first + i] = -double(total[i]);
        double later[LANES] = {}, all_steps[LANES] = {};
        for (int64_t i = 0; SUMS && i < least(rows, LANES); ++i) later[i] = grad_sum[first + i];
        for (int64_t t = signal.steps - 1; t >= 0; --t) {
            if (grad_offset) added<Real>(all_steps, load(g + t * stride));
            if (SUMS) store(g + t * stride, added<Real>(later, load(g + t * stride)));
        }
        for (int64_t i = 0; i < least(rows, LANES); ++i) {
            if (SUMS) grad_sum[first + i] = Real(later[i]);
            if (grad_offset) grad_offset[first + i] = all_steps[i];
        }
    }

    template <bool SUMS, bool CUMULATES, bool LEARNS, int64_t WIDTH>
    int32_t run(const Block<WIDTH>& block, Real* g, Real* tile) const {
        const bool in_place = signal.time_first && block.rows == WIDTH;
        Real offsets[WIDTH], thresholds[WIDTH];
        double sums[WIDTH];
        of_channels(offsets, unit.offset, unit.offset_channels, block);
        of_channels(thresholds, unit.threshold, unit.threshold_channels, block);
        fill_sums(sums, states.sum, block);
        block.fill(g, grad, 0, signal.steps);
        if (!in_place) block.fill(tile, x, 0, signal.steps);
        for (int64_t i = 0; i < block.rows; i += LANES) {
            const int64_t first = block.first + i, rows = block.rows - i;
            Neurons<Real> neurons(unit, states, sums + i, offsets + i, thresholds + i, first, rows);
            const Real* in = (in_place ? x + block.first : tile) + i;
            steps<SUMS, CUMULATES, LEARNS>(neurons, in, in_place ? signal.rows : WIDTH, g + i, WIDTH, first, rows);
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
