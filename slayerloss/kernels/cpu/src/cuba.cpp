// The CUBA neuron: current, voltage, reset and spike in one pass forward, and in one pass backward.
//
// Backward needs the voltages. They have 24 bits, and are kept in three bytes each, tile by tile, as `Voltages` has
// them; the currents follow from them.

#include "exponential.h"
#include "kernel.h"
#include "population.h"

namespace {

struct Decays {
    const int32_t* current;  // null: the input is the current
    const int32_t* voltage;  // null: there is no voltage
    int64_t current_channels, voltage_channels;
};

enum Output { CURRENT, VOLTAGE, SPIKES, GRADED_SPIKES };

template <int64_t WIDTH>
struct Population {
    Ints keep_current[WIDTH / LANES], keep_voltage[WIDTH / LANES], current[WIDTH / LANES], voltage[WIDTH / LANES];

    void set_decays(const Signal& signal, const Decays& decays, int64_t first, int64_t rows) {
        int32_t keep[WIDTH];
        if (decays.current) {
            per_row(keep, WIDTH, decays.current, decays.current_channels, signal.inner, first, rows);
            for (int64_t i = 0; i < WIDTH / LANES; ++i) keep_current[i] = load(keep + i * LANES);
        }
        if (decays.voltage) {
            per_row(keep, WIDTH, decays.voltage, decays.voltage_channels, signal.inner, first, rows);
            for (int64_t i = 0; i < WIDTH / LANES; ++i) keep_voltage[i] = load(keep + i * LANES);
        }
    }

    // One step of the neurons of vector i; true where they spike. `now` is u, or v before its reset; `clipped` gets bits
    // where v saturates.
    template <bool INTEGRATES, bool FIRES>
    INLINE Ints step(int64_t i, const Ints& x, const Ints& threshold, Ints& now, Ints& clipped) {
        now = INTEGRATES ? current[i] = wrapped(decayed(current[i], keep_current[i]) + x) : x;
        if (!FIRES) return all(0);
        const Ints sum = decayed(voltage[i], keep_voltage[i]) + now;
        now = saturated(sum);
        clipped = clipped | (sum ^ now);
        const Ints fires = now > threshold;
        voltage[i] = now & ~fires;
        return fires;
    }
};

constexpr int64_t GROUP = 4;  // vectors that one turn of a loop treats

// Voltages before the reset, kept for the backward pass: of a group of four vectors three have their 24 bits in a word
// each, and the bytes of the fourth fill the words up.
struct Voltages {
    int32_t* words;
    int64_t stride;  // words of a step

    INLINE int32_t* at(int64_t t, int64_t group) const { return words + t * stride + group * (GROUP - 1) * LANES; }

    INLINE void put(int64_t t, int64_t group, const Ints (&v)[GROUP]) const {
        int32_t* to = at(t, group);
        for (int i = 0; i < GROUP - 1; ++i)
            store(to + i * LANES, (v[i] & all(0xffffff)) | ((v[3] >> all(8 * i)) << all(24)));
    }

    INLINE void get(int64_t t, int64_t group, Ints (&v)[GROUP]) const {
        const int32_t* from = at(t, group);
        v[3] = all(0);
        for (int i = 0; i < GROUP - 1; ++i) {
            const Ints word = load(from + i * LANES), byte = word >> all(24);
            v[i] = (word << all(8)) >> all(8);
            v[3] = v[3] | ((i == 2 ? byte : byte & all(0xff)) << all(8 * i));
        }
    }
};

// What a step sends; `now` is u, or v before its reset.
template <class Real, Output OUTPUT>
INLINE Vector<Real> sent(const Ints& now, const Ints& fires, Real unit) {
    if (OUTPUT == SPIKES) return convert<Real, int32_t>(fires & all(1));
    return convert<Real, int32_t>(OUTPUT == GRADED_SPIKES ? now & fires : now) * all(unit);
}

// A block of rows, filled up to a multiple of 64.
template <int64_t WIDTH>
struct Block {
    int64_t first, rows;

    Block(int64_t number, int64_t all_rows)
        : first(number * WIDTH), rows(all_rows - first < WIDTH ? all_rows - first : WIDTH) {}

    INLINE int64_t filled() const { return WIDTH == NARROW ? WIDTH : (rows + NARROW - 1) / NARROW * NARROW; }
    INLINE int64_t groups() const { return filled() / (GROUP * LANES); }
    Voltages of(int32_t* words, int64_t steps) const { return {words + first * steps / 4 * 3, filled() / 4 * 3}; }
};

enum Status { OUT_OF_RANGE = 1, CLIPPED = 2 };

inline bool any(const Ints& x) {
    int32_t found = 0;
    for (int i = 0; i < LANES; ++i) found |= x[i];
    return found != 0;
}

// A state in units of the input -> LSBs; false if it is no whole number of them within the range.
template <class Real>
inline bool to_whole(Ints* lsb, const Real* state, Real scale, int64_t rows, int64_t width) {
    bool exact = true;
    for (int64_t i = 0; i < width; ++i) {
        const Real scaled = state && i < rows ? state[i] * scale : 0;
        const bool inside = scaled >= Real(-STATE_LIMIT) && scaled <= Real(STATE_LIMIT);
        lsb[i / LANES][i % LANES] = inside ? int32_t(scaled) : 0;
        exact &= inside && Real(int32_t(inside ? scaled : 0)) == scaled;
    }
    return exact;
}

template <class Real>
struct Forward {
    Signal signal;
    Decays decays;
    const Real* x;
    Real* y;
    const Real* current;  // (rows), before the run; null for zero
    const Real* voltage;
    Real* last_current;
    Real* last_voltage;
    int32_t* words;  // of the voltages; null: they are not kept
    Real scale;
    int32_t threshold;

    // Steps of a tile, or of memory that has time first; the output may stand where the input stood.
    template <bool INTEGRATES, Output OUTPUT, bool KEEPS, int64_t WIDTH>
    void run(Population<WIDTH>& given, const Real* in, Real* out, int64_t in_stride, int64_t out_stride, int64_t steps,
             int64_t groups, const Voltages& voltages, int64_t begin, Ints& worst, Ints& clipped) const {
        const Real unit = 1 / scale;
        const Ints limit = all(threshold);
        Population<WIDTH> population = given;
        Ints largest = worst, bits = clipped;
        for (int64_t t = 0; t < steps; ++t) {
            for (int64_t group = 0; group < groups; ++group) {
                Ints now[GROUP];
                for (int64_t k = 0; k < GROUP; ++k) {
                    const int64_t i = group * GROUP + k;
                    const Ints drive = whole<Real>(load(in + t * in_stride + i * LANES), scale, largest);
                    const Ints fires =
                        population.template step<INTEGRATES, OUTPUT != CURRENT>(i, drive, limit, now[k], bits);
                    store(out + t * out_stride + i * LANES, sent<Real, OUTPUT>(now[k], fires, unit));
                }
                if (KEEPS) voltages.put(begin + t, group, now);
            }
        }
        given = population;
        worst = largest;
        clipped = bits;
    }

    template <bool INTEGRATES, Output OUTPUT, bool KEEPS, int64_t WIDTH>
    int32_t block(const Block<WIDTH> block) const {
        const int64_t row_stride = signal.row_stride(), step_stride = signal.step_stride(), rows = block.rows;
        const bool in_place = signal.time_first && rows == WIDTH;  // memory is a tile already
        constexpr int64_t CHUNK = TILE_BYTES / int64_t(sizeof(Real)) / WIDTH;
        alignas(64) Real tile[CHUNK * WIDTH];
        Population<WIDTH> population;
        population.set_decays(signal, decays, block.first, rows);
        if (!to_whole(population.current, current ? current + block.first : current, scale, rows, WIDTH) ||
            !to_whole(population.voltage, voltage ? voltage + block.first : voltage, scale, rows, WIDTH))
            return OUT_OF_RANGE;
        const Voltages voltages = KEEPS ? block.of(words, signal.steps) : Voltages();
        Ints worst = all(0), clipped = all(0);
        for (int64_t t = 0; t < signal.steps; t += CHUNK) {
            const int64_t steps = signal.steps - t < CHUNK ? signal.steps - t : CHUNK;
            const int64_t offset = block.first * row_stride + t * step_stride;
            if (in_place) {
                run<INTEGRATES, OUTPUT, KEEPS>(population, x + offset, y + offset, signal.rows, signal.rows, steps,
                                               WIDTH / LANES / GROUP, voltages, t, worst, clipped);
            } else {
                fill_tile(tile, WIDTH, x + offset, row_stride, step_stride, rows, steps);
                run<INTEGRATES, OUTPUT, KEEPS>(population, tile, tile, WIDTH, WIDTH, steps, block.groups(), voltages,
                                               t, worst, clipped);
                empty_tile(tile, WIDTH, y + offset, row_stride, step_stride, rows, steps);
            }
        }
        to_units(last_current, population.current, block.first, rows);
        to_units(last_voltage, population.voltage, block.first, rows);
        return (out_of_range(worst) ? OUT_OF_RANGE : 0) | (any(clipped) ? CLIPPED : 0);
    }

    void to_units(Real* to, const Ints* states, int64_t first, int64_t rows) const {
        for (int64_t i = 0; i < rows; ++i) to[first + i] = Real(states[i / LANES][i % LANES]) * (1 / scale);
    }

    template <bool INTEGRATES, Output OUTPUT, bool KEEPS>
    int32_t blocks(int64_t* next) const {
        const int64_t width = signal.time_first ? WIDE : NARROW;
        int32_t status = 0;
        for (int64_t number; (number = take(next)) * width < signal.rows;)
            status |= signal.time_first ? block<INTEGRATES, OUTPUT, KEEPS>(Block<WIDE>(number, signal.rows))
                                        : block<INTEGRATES, OUTPUT, KEEPS>(Block<NARROW>(number, signal.rows));
        return status;
    }

    template <Output OUTPUT>
    int32_t neurons(int64_t* next) const {
        if (words) return decays.current ? blocks<true, OUTPUT, true>(next) : blocks<false, OUTPUT, true>(next);
        return decays.current ? blocks<true, OUTPUT, false>(next) : blocks<false, OUTPUT, false>(next);
    }

    int32_t all_blocks(Output output, int64_t* next) const {
        if (output == CURRENT) return blocks<true, CURRENT, false>(next);
        if (output == VOLTAGE) return blocks<false, VOLTAGE, false>(next);
        return output == SPIKES ? neurons<SPIKES>(next) : neurons<GRADED_SPIKES>(next);
    }
};

// The spike's derivative by the voltage: height exp(-|v - threshold| / tau). Of a graded one it does not fall again
// above the threshold.
template <class Real>
struct Surrogate {
    Real threshold, tau, height, above;  // `above`: -1, or 0 of a graded spike

    INLINE Vector<Real> operator()(const Vector<Real>& voltage) const {
        const Vector<Real> distance = (voltage - all(threshold)) * all(Real(1 / LOG_2) / tau);
        return power_of_two<Real>(smaller<Real>(distance, distance * all(above))) * all(height);
    }
};

template <class Real>
struct Backward {
    Signal signal;
    Decays decays;
    int32_t* words;  // of the voltages
    const Real* current;  // (rows), before the run; null for zero
    const Real* voltage;
    const Real* grad;  // of the spikes
    Real* grad_x;
    const Real* grad_last_current;  // (rows), of the states after the run; null for zero
    const Real* grad_last_voltage;
    Real* grad_current;  // (rows), of the states before it
    Real* grad_voltage;
    double* grad_keep_current;  // (rows), or null where no decay learns
    double* grad_keep_voltage;
    Real scale;
    int32_t threshold;
    Surrogate<Real> surrogate;

    // What goes from step to step, against time.
    template <int64_t WIDTH>
    struct Carried {
        static constexpr int64_t VECTORS = WIDTH / LANES;
        Vector<Real> keep_u[VECTORS], keep_v[VECTORS], u[VECTORS], v[VECTORS], sum_u[VECTORS], sum_v[VECTORS];
    };

    template <bool INTEGRATES, bool LEARNS, int64_t WIDTH>
    void run(Carried<WIDTH>& carried, const Population<WIDTH>& population, const Real* in, Real* out, int64_t stride,
             int64_t steps, int64_t groups, const Voltages& voltages, int64_t begin) const {
        const Real unit = 1 / scale;
        Carried<WIDTH> c = carried;
        for (int64_t t = steps - 1; t >= 0; --t) {
            for (int64_t group = 0; group < groups; ++group) {
                Ints v[GROUP], v_before[GROUP], u_before[GROUP];
                voltages.get(begin + t, group, v);
                if (LEARNS) states_before(population, voltages, begin + t, group, v_before, u_before);
                for (int64_t k = 0; k < GROUP; ++k) {
                    const int64_t i = group * GROUP + k;
                    const Vector<Real> slope = surrogate(convert<Real, int32_t>(v[k]) * all(unit));
                    const Vector<Real> g_v = slope * load(in + t * stride + i * LANES) + c.v[i];
                    const Vector<Real> g_u = INTEGRATES ? g_v + c.u[i] : g_v;
                    store(out + t * stride + i * LANES, g_u);
                    if (LEARNS) c.sum_v[i] += g_v * convert<Real, int32_t>(v_before[k]);
                    if (LEARNS && INTEGRATES) c.sum_u[i] += g_u * convert<Real, int32_t>(u_before[k]);
                    c.v[i] = g_v * c.keep_v[i];
                    if (INTEGRATES) c.u[i] = g_u * c.keep_u[i];
                }
            }
        }
        carried = c;
    }

    // v'[t-1] and u[t-1]: where no voltage saturated, u[t-1] is what v[t-1] has more than was left of v'[t-2].
    template <int64_t WIDTH>
    INLINE void states_before(const Population<WIDTH>& population, const Voltages& voltages, int64_t t, int64_t group,
                              Ints (&v)[GROUP], Ints (&u)[GROUP]) const {
        Ints earlier[GROUP];
        for (int64_t k = 0; k < GROUP; ++k) {
            u[k] = population.current[group * GROUP + k];
            v[k] = earlier[k] = population.voltage[group * GROUP + k];
        }
        if (t == 0) return;
        if (t > 1) {
            voltages.get(t - 2, group, earlier);
            reset(earlier);
        }
        voltages.get(t - 1, group, v);
        for (int64_t k = 0; k < GROUP; ++k)
            u[k] = v[k] - decayed(earlier[k], population.keep_voltage[group * GROUP + k]);
        reset(v);
    }

    INLINE void reset(Ints (&v)[GROUP]) const {
        for (int64_t k = 0; k < GROUP; ++k) v[k] = v[k] & ~(v[k] > all(threshold));
    }

    template <bool INTEGRATES, bool LEARNS, int64_t WIDTH>
    void block(const Block<WIDTH> block) const {
        const int64_t row_stride = signal.row_stride(), step_stride = signal.step_stride();
        const int64_t first = block.first, rows = block.rows;
        const bool in_place = signal.time_first && rows == WIDTH;
        constexpr int64_t CHUNK = TILE_BYTES / int64_t(sizeof(Real)) / WIDTH;
        alignas(64) Real tile[CHUNK * WIDTH];
        Population<WIDTH> population;
        population.set_decays(signal, decays, first, rows);
        if (LEARNS) {
            to_whole(population.current, current ? current + first : current, scale, rows, WIDTH);
            to_whole(population.voltage, voltage ? voltage + first : voltage, scale, rows, WIDTH);
        }
        Carried<WIDTH> carried;
        for (int64_t i = 0; i < WIDTH / LANES; ++i) {
            const Vector<Real> per_decay = all(Real(1) / (1 << DECAY_BITS));
            if (INTEGRATES) carried.keep_u[i] = convert<Real, int32_t>(population.keep_current[i]) * per_decay;
            carried.keep_v[i] = convert<Real, int32_t>(population.keep_voltage[i]) * per_decay;
        }
        from_rows<WIDTH>(carried.u, grad_last_current, first, rows);
        from_rows<WIDTH>(carried.v, grad_last_voltage, first, rows);
        const Voltages voltages = block.of(words, signal.steps);
        double totals[2][WIDTH] = {};
        for (int64_t t = (signal.steps - 1) / CHUNK * CHUNK; t >= 0; t -= CHUNK) {
            const int64_t steps = signal.steps - t < CHUNK ? signal.steps - t : CHUNK;
            const int64_t offset = first * row_stride + t * step_stride;
            for (int64_t i = 0; i < WIDTH / LANES; ++i) carried.sum_u[i] = carried.sum_v[i] = all(Real(0));
            if (in_place) {
                run<INTEGRATES, LEARNS>(carried, population, grad + offset, grad_x + offset, signal.rows, steps,
                                        WIDTH / LANES / GROUP, voltages, t);
            } else {
                fill_tile(tile, WIDTH, grad + offset, row_stride, step_stride, rows, steps);
                run<INTEGRATES, LEARNS>(carried, population, tile, tile, WIDTH, steps, block.groups(), voltages, t);
                empty_tile(tile, WIDTH, grad_x + offset, row_stride, step_stride, rows, steps);
            }
            for (int64_t i = 0; LEARNS && i < rows; ++i) {
                totals[0][i] += double(carried.sum_u[i / LANES][i % LANES]) / scale;
                totals[1][i] += double(carried.sum_v[i / LANES][i % LANES]) / scale;
            }
        }
        to_rows<WIDTH>(grad_current, carried.u, first, rows);
        to_rows<WIDTH>(grad_voltage, carried.v, first, rows);
        if (LEARNS && INTEGRATES) std::memcpy(grad_keep_current + first, totals[0], rows * sizeof(double));
        if (LEARNS) std::memcpy(grad_keep_voltage + first, totals[1], rows * sizeof(double));
    }

    template <int64_t WIDTH>
    static void from_rows(Vector<Real>* vectors, const Real* values, int64_t first, int64_t rows) {
        Real lanes[WIDTH] = {};
        if (values) std::memcpy(lanes, values + first, rows * sizeof(Real));
        for (int64_t i = 0; i < WIDTH / LANES; ++i) vectors[i] = load(lanes + i * LANES);
    }

    template <int64_t WIDTH>
    static void to_rows(Real* values, const Vector<Real>* vectors, int64_t first, int64_t rows) {
        Real lanes[WIDTH];
        for (int64_t i = 0; i < WIDTH / LANES; ++i) store(lanes + i * LANES, vectors[i]);
        std::memcpy(values + first, lanes, rows * sizeof(Real));
    }

    template <bool INTEGRATES, bool LEARNS>
    void blocks(int64_t* next) const {
        const int64_t width = signal.time_first ? WIDE : NARROW;
        for (int64_t number; (number = take(next)) * width < signal.rows;) {
            if (signal.time_first)
                block<INTEGRATES, LEARNS>(Block<WIDE>(number, signal.rows));
            else
                block<INTEGRATES, LEARNS>(Block<NARROW>(number, signal.rows));
        }
    }

    void all_blocks(int64_t* next) const {
        if (grad_keep_voltage)
            decays.current ? blocks<true, true>(next) : blocks<false, true>(next);
        else
            decays.current ? blocks<true, false>(next) : blocks<false, false>(next);
    }
};

}  // namespace

#define INTEGRATE(NAME, REAL)                                                                                       \
    KERNEL(NAME)                                                                                                    \
    (const REAL* x, REAL* y, int64_t rows, int64_t steps, int64_t time_first, int64_t inner,                        \
     const int32_t* keep_current, int64_t current_channels, const int32_t* keep_voltage, int64_t voltage_channels,  \
     const REAL* current, const REAL* voltage, REAL* last_current, REAL* last_voltage, int32_t* words,              \
     double scale, int32_t threshold, int32_t output, int64_t* next) {                                              \
        return Forward<REAL>{{rows, steps, time_first, inner},                                                      \
                             {keep_current, keep_voltage, current_channels, voltage_channels},                      \
                             x, y, current, voltage, last_current, last_voltage, words, REAL(scale), threshold} \
            .all_blocks(Output(output), next);                                                                      \
    }
INTEGRATE(integrate_float, float)
INTEGRATE(integrate_double, double)

#define CUBA_BACKWARD(NAME, REAL)                                                                                   \
    KERNEL(NAME)                                                                                                    \
    (int32_t* words, const REAL* grad, REAL* grad_x, int64_t rows, int64_t steps, int64_t time_first,   \
     int64_t inner, const int32_t* keep_current, int64_t current_channels, const int32_t* keep_voltage,             \
     int64_t voltage_channels, const REAL* current, const REAL* voltage, const REAL* grad_last_current,             \
     const REAL* grad_last_voltage, REAL* grad_current, REAL* grad_voltage, double* grad_keep_current,              \
     double* grad_keep_voltage, double scale, int32_t threshold, double threshold_in_units, double tau,             \
     double height, int32_t graded, int64_t* next) {                                                                \
        Backward<REAL>{{rows, steps, time_first, inner},                                                            \
                       {keep_current, keep_voltage, current_channels, voltage_channels},                            \
                       words, current, voltage, grad, grad_x, grad_last_current, grad_last_voltage,             \
                       grad_current, grad_voltage, grad_keep_current, grad_keep_voltage, REAL(scale), threshold,    \
                       {REAL(threshold_in_units), REAL(tau), REAL(height), graded ? REAL(0) : REAL(-1)}}            \
            .all_blocks(next);                                                                                      \
        return 0;                                                                                                   \
    }
CUBA_BACKWARD(cuba_backward_float, float)
CUBA_BACKWARD(cuba_backward_double, double)
