// The sigma-delta unit: a running sum, an offset, a rectification, and the changes of that which reach a threshold. The
// sum can be left out, and then it is the delta unit alone. The backward pass goes through the steps once more.

#include "exponential.h"
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t CHUNK = 512;  // steps of a tile
constexpr int64_t AHEAD = 4;    // steps, of what is fetched where time is first

// What is the same for a whole call, or belongs to channels.
template <class Real>
struct Unit {
    Real lowest;  // of the value whose changes are sent
    const Real* threshold;
    int64_t threshold_channels;
    const Real* offset;  // null: none
    int64_t offset_channels;
};

// The states of all rows; in the forward pass those before the run become those after it.
template <class Real>
struct States {
    Real* sum;  // null: the input is the value itself
    Real* before;
    Real* residual;
    Real* error;  // null: a change is held against the threshold, not the sum of the changes
};

// What a block of rows has of something, in vectors; of rows that are missing, zeros.
template <class T, int64_t WIDTH>
struct Rows {
    Vector<T> vectors[WIDTH / LANES];

    template <class From>
    explicit Rows(const From* values, int64_t rows) {
        From lanes[WIDTH];
        if (!values || rows < WIDTH) {
            for (int64_t i = 0; i < WIDTH; ++i) lanes[i] = values && i < rows ? values[i] : From(0);
            values = lanes;
        }
        for (int64_t i = 0; i < WIDTH / LANES; ++i) vectors[i] = convert<T, From>(load(values + i * LANES));
    }

    template <class To>
    void put(To* values, int64_t rows) const {
        if (!values) return;
        To lanes[WIDTH], *to = rows < WIDTH ? lanes : values;
        for (int64_t i = 0; i < WIDTH / LANES; ++i) store(to + i * LANES, convert<To, T>(vectors[i]));
        if (to == lanes) std::memcpy(values, lanes, rows * sizeof(To));
    }

    Vector<T>& operator[](int64_t i) { return vectors[i]; }
    const Vector<T>& operator[](int64_t i) const { return vectors[i]; }
};

template <class Real, int64_t WIDTH>
INLINE Rows<Real, WIDTH> of_channels(const Real* values, int64_t channels, const Block<WIDTH>& block) {
    Real each[WIDTH] = {};
    if (values && channels == 1)
        for (int64_t i = 0; i < WIDTH; ++i) each[i] = values[0];
    else if (values)
        per_row(each, WIDTH, values, channels, block.signal.inner, block.first, block.rows);
    return Rows<Real, WIDTH>(each, WIDTH);
}

// sum += x, and what that is.
template <class Real, int64_t WIDTH>
INLINE void add_up(double* __restrict sum, const Real* x, Real* y) {
    for (int64_t i = 0; i < WIDTH; ++i) {
        sum[i] += double(x[i]);
        y[i] = Real(sum[i]);
    }
}

template <class Value>
INLINE Value* from_row(Value* values, int64_t first) {
    return values ? values + first : values;
}

template <class Real, int64_t WIDTH>
struct Population {
    Vector<Real> lowest;
    double sum[WIDTH] = {};
    Rows<Real, WIDTH> before, residual, error, offset, threshold;

    Population(const Unit<Real>& unit, const States<Real>& states, const Block<WIDTH>& block)
        : lowest(all(unit.lowest)),
          before(states.before + block.first, block.rows),
          residual(states.residual + block.first, block.rows),
          error(from_row(states.error, block.first), block.rows),
          offset(of_channels(unit.offset, unit.offset_channels, block)),
          threshold(of_channels(unit.threshold, unit.threshold_channels, block)) {
        for (int64_t i = 0; states.sum && i < block.rows; ++i) sum[i] = states.sum[block.first + i];
    }

    void keep(const States<Real>& states, const Block<WIDTH>& block) const {
        for (int64_t i = 0; states.sum && i < block.rows; ++i) states.sum[block.first + i] = Real(sum[i]);
        before.put(states.before + block.first, block.rows);
        residual.put(states.residual + block.first, block.rows);
        error.put(from_row(states.error, block.first), block.rows);
    }

    // One step of the rows of vector i, of their sum: the change, and what of it is sent. `driven` has the offset.
    template <bool CUMULATES>
    INLINE Vector<Real> step(int64_t i, const Vector<Real>& total, Vector<Real>& driven, Vector<Real>& change) {
        const Vector<Real> zero = all(Real(0));
        driven = total + offset[i];
        const Vector<Real> value = larger<Real>(driven, lowest);
        change = value - before[i] + residual[i];
        const Vector<Real> compared = CUMULATES ? error[i] + change : change;
        const Vector<Real> sent = where_at_least<Real>(size_of<Real>(compared), threshold[i], change, zero);
        if (CUMULATES) error[i] = where_at_least<Real>(zero, size_of<Real>(sent), compared, zero);
        residual[i] = change - sent;
        before[i] = value;
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

    // Steps of a tile, or of memory that has time first.
    template <bool SUMS, bool CUMULATES, int64_t WIDTH>
    void steps(Population<Real, WIDTH>& given, const Real* in, Real* out, int64_t stride, int64_t count,
               Ints& worst) const {
        Population<Real, WIDTH> population = given;
        Ints largest = worst;
        const Real lsb = 1 / scale;
        Real sums[WIDTH];
        for (int64_t t = 0; t < count; ++t) {
            const Real* totals = in + t * stride;
            if (SUMS) add_up<Real, WIDTH>(population.sum, totals, sums), totals = sums;
            for (int64_t i = 0; i < WIDTH / LANES; ++i) {
                if (stride > WIDTH) prefetch(in + (t + AHEAD) * stride + i * LANES);
                const Vector<Real> now = load(totals + i * LANES);
                largest = larger<int32_t>(largest, bits_as<int32_t, float>(convert<float, Real>(now)) & all(0x7fffffff));
                Vector<Real> driven, change;
                const Vector<Real> sent = population.template step<CUMULATES>(i, now, driven, change);
                store(out + t * stride + i * LANES, cut_down<Real>(sent * all(scale)) * all(lsb));
            }
        }
        given = population;
        worst = largest;
    }

    template <bool SUMS, bool CUMULATES, int64_t WIDTH>
    int32_t run(const Block<WIDTH>& block, Real* tile) const {
        Population<Real, WIDTH> population(unit, states, block);
        Ints worst = all(0);
        if (signal.time_first && block.rows == WIDTH) {
            steps<SUMS, CUMULATES>(population, x + block.first, y + block.first, signal.rows, signal.steps, worst);
        } else {
            for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
                const int64_t count = least(CHUNK, signal.steps - begin);
                block.fill(tile, x, begin, count);
                steps<SUMS, CUMULATES>(population, tile, tile, WIDTH, count, worst);
                block.empty(tile, y, begin, count);
            }
        }
        population.keep(states, block);
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

    int64_t bytes(int64_t width) const {
        return width * (signal.steps + least(signal.steps, CHUNK)) * int64_t(sizeof(Real));
    }

    INLINE Vector<Real> slope(const Vector<Real>& change, const Vector<Real>& threshold) const {
        const Vector<Real> zero = all(Real(0)), distance = size_of<Real>(change) - threshold;
        const Vector<Real> beyond = larger<Real>(distance, zero);
        const Vector<Real> decayed = power_of_two<Real>(beyond * all(Real(-1 / LOG_2) / tau)) * all(height);
        const Vector<Real> positive = where_at_least<Real>(zero, change, zero, all(Real(1)));
        const Vector<Real> sign = where_at_least<Real>(change, zero, positive, all(Real(-1)));
        return where_at_least<Real>(zero, distance, sign, change * decayed / threshold);
    }

    // The gradients of the values of some steps, in place; `next` is the gradient of the step after them.
    template <bool SUMS, bool CUMULATES, bool LEARNS, int64_t WIDTH>
    void steps(Population<Real, WIDTH>& given, const Real* in, int64_t stride, Real* g, const Real* next, int64_t count,
               double* of_threshold) const {
        Population<Real, WIDTH> population = given;
        Real sums[WIDTH];
        Rows<Real, WIDTH> total(in, 0);
        for (int64_t t = 0; t < count; ++t) {
            const Real* totals = in + t * stride;
            if (SUMS) add_up<Real, WIDTH>(population.sum, totals, sums), totals = sums;
            const Real* after = t + 1 < count ? g + (t + 1) * WIDTH : next;
            for (int64_t i = 0; i < WIDTH / LANES; ++i) {
                if (stride > WIDTH) prefetch(in + (t + AHEAD) * stride + i * LANES);
                Vector<Real> driven, change;
                population.template step<CUMULATES>(i, load(totals + i * LANES), driven, change);
                Real* here = g + t * WIDTH + i * LANES;
                const Vector<Real> now = load(here);
                if (LEARNS) total[i] += slope(change, population.threshold[i]) * now;
                const Vector<Real> passed = now - load(after + i * LANES);
                store(here, where_at_least<Real>(population.lowest, driven, all(Real(0)), passed));
            }
        }
        given = population;
        if (!LEARNS) return;
        total.put(sums, WIDTH);
        for (int64_t i = 0; i < WIDTH; ++i) of_threshold[i] -= double(sums[i]);
    }

    template <bool SUMS, bool CUMULATES, bool LEARNS, int64_t WIDTH>
    int32_t run(const Block<WIDTH>& block, Real* g, Real* tile) const {
        Population<Real, WIDTH> population(unit, states, block);
        double of_threshold[WIDTH] = {}, of_offset[WIDTH] = {}, later[WIDTH] = {};
        Real first[WIDTH], behind[WIDTH] = {};
        block.fill(g, grad, 0, signal.steps);
        std::memcpy(first, g, sizeof first);
        for (int64_t i = 0; i < block.rows; ++i) behind[i] = -grad_before[block.first + i];
        const bool in_place = signal.time_first && block.rows == WIDTH;
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t count = least(CHUNK, signal.steps - begin), end = begin + count;
            const Real* next = end < signal.steps ? g + end * WIDTH : behind;
            if (!in_place) block.fill(tile, x, begin, count);
            steps<SUMS, CUMULATES, LEARNS>(population, in_place ? x + block.offset(begin) : tile,
                                           in_place ? signal.rows : WIDTH, g + begin * WIDTH, next, count, of_threshold);
        }
        for (int64_t i = 0; SUMS && i < block.rows; ++i) later[i] = grad_sum[block.first + i];
        for (int64_t t = signal.steps - 1; t >= 0; --t) {
            Real* here = g + t * WIDTH;
            if (grad_offset)
                for (int64_t i = 0; i < WIDTH; ++i) of_offset[i] += double(here[i]);
            if (SUMS) add_up<Real, WIDTH>(later, here, here);
        }
        block.empty(g, grad_x, 0, signal.steps);
        for (int64_t i = 0; i < block.rows; ++i) {
            const int64_t row = block.first + i;
            grad_before[row] = -first[i];
            if (SUMS) grad_sum[row] = Real(later[i]);
            if (LEARNS) grad_threshold[row] = of_threshold[i];
            if (grad_offset) grad_offset[row] = of_offset[i];
        }
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
                    int64_t offset_channels, Real* sum, Real* before, Real* residual, Real* error, double lowest,
                    double scale) {
    const Signal signal{rows, steps, time_first, inner};
    const Unit<Real> unit{Real(lowest), threshold, threshold_channels, offset, offset_channels};
    return all_blocks(Forward<Real>{signal, unit, {sum, before, residual, error}, x, y, Real(scale)}, signal, width,
                      next);
}

template <class Real>
int32_t sigma_delta_backward(int64_t* next, const Real* x, const Real* grad, Real* grad_x, int64_t rows, int64_t steps,
                             int64_t time_first, int64_t width, int64_t inner, const Real* threshold,
                             int64_t threshold_channels, const Real* offset, int64_t offset_channels, Real* sum,
                             Real* before, Real* residual, Real* error, Real* grad_sum, Real* grad_before,
                             double* grad_threshold, double* grad_offset, double lowest, double tau, double height) {
    const Signal signal{rows, steps, time_first, inner};
    const Unit<Real> unit{Real(lowest), threshold, threshold_channels, offset, offset_channels};
    const Backward<Real> work{signal,   unit,        {sum, before, residual, error}, x,           grad,      grad_x,
                              grad_sum, grad_before, grad_threshold,                 grad_offset, Real(tau), Real(height)};
    return all_blocks(work, signal, width, next);
}

}  // namespace

KERNEL(sigma_delta)
KERNEL(sigma_delta_backward)
