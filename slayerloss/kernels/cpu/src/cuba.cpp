// The CUBA neuron: current, voltage, reset and spike in one pass forward, and in one pass backward.
//
// Forward keeps only the states at the beginning of each chunk of steps; backward computes the others again from the
// input, which saves four bytes per neuron and step and takes less time than reading them.

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

    // One step of the neurons of vector i; true where they spike. `now` is u, or v before its reset.
    template <bool INTEGRATES, bool FIRES>
    INLINE Ints step(int64_t i, const Ints& x, const Ints& threshold, Ints& now) {
        now = INTEGRATES ? current[i] = wrapped(decayed(current[i], keep_current[i]) + x) : x;
        if (!FIRES) return all(0);
        now = saturated(decayed(voltage[i], keep_voltage[i]) + now);
        const Ints fires = now > threshold;
        voltage[i] = now & ~fires;
        return fires;
    }

    void read(const int32_t* checkpoint, int64_t all_rows, int64_t first, int64_t rows) {
        int32_t lanes[WIDTH] = {};
        std::memcpy(lanes, checkpoint + first, rows * sizeof(int32_t));
        for (int64_t i = 0; i < WIDTH / LANES; ++i) current[i] = load(lanes + i * LANES);
        std::memcpy(lanes, checkpoint + all_rows + first, rows * sizeof(int32_t));
        for (int64_t i = 0; i < WIDTH / LANES; ++i) voltage[i] = load(lanes + i * LANES);
    }

    void write(int32_t* checkpoint, int64_t all_rows, int64_t first, int64_t rows) const {
        int32_t lanes[WIDTH];
        for (int64_t i = 0; i < WIDTH / LANES; ++i) store(lanes + i * LANES, current[i]);
        std::memcpy(checkpoint + first, lanes, rows * sizeof(int32_t));
        for (int64_t i = 0; i < WIDTH / LANES; ++i) store(lanes + i * LANES, voltage[i]);
        std::memcpy(checkpoint + all_rows + first, lanes, rows * sizeof(int32_t));
    }
};

// What a step sends; `now` is u, or v before its reset.
template <class Real, Output OUTPUT>
INLINE Vector<Real> sent(const Ints& now, const Ints& fires, Real unit) {
    if (OUTPUT == SPIKES) return convert<Real, int32_t>(fires & all(1));
    return convert<Real, int32_t>(OUTPUT == GRADED_SPIKES ? now & fires : now) * all(unit);
}

// Steps of a tile, or of memory that has time first; the output may stand where the input stood.
template <class Real, int64_t WIDTH, bool INTEGRATES, Output OUTPUT>
void run(Population<WIDTH>& population, const Real* x, Real* y, int64_t x_stride, int64_t y_stride, int64_t steps,
         Real scale, int32_t threshold, Ints& worst) {
    const Real unit = 1 / scale;
    const Ints limit = all(threshold);
    Population<WIDTH> local = population;
    Ints largest = worst;
    for (int64_t t = 0; t < steps; ++t) {
        for (int64_t i = 0; i < WIDTH / LANES; ++i) {
            Ints now;
            const Ints in = whole<Real>(load(x + t * x_stride + i * LANES), scale, largest);
            const Ints fires = local.template step<INTEGRATES, OUTPUT != CURRENT>(i, in, limit, now);
            store(y + t * y_stride + i * LANES, sent<Real, OUTPUT>(now, fires, unit));
        }
    }
    population = local;
    worst = largest;
}

// A state in units of the input -> LSBs; false if it is no whole number of them within the range.
template <class Real>
inline bool to_whole(int32_t* lsb, const Real* state, Real scale, int64_t rows) {
    bool exact = true;
    for (int64_t i = 0; i < rows; ++i) {
        const Real scaled = state ? state[i] * scale : 0;
        const bool inside = scaled >= Real(-STATE_LIMIT) && scaled <= Real(STATE_LIMIT);
        lsb[i] = inside ? int32_t(scaled) : 0;
        exact &= inside && Real(lsb[i]) == scaled;
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
    int32_t* checkpoints;  // (chunks, 2, rows): the states before each chunk
    int64_t chunk;
    Real scale;
    int32_t threshold;

    template <int64_t WIDTH, bool INTEGRATES, Output OUTPUT>
    int32_t block(int64_t number) const {
        const int64_t first = number * WIDTH, rows = signal.rows - first < WIDTH ? signal.rows - first : WIDTH;
        const bool in_place = signal.time_first && rows == WIDTH;  // memory is a tile already
        Population<WIDTH> population;
        population.set_decays(signal, decays, first, rows);
        if (!to_whole(checkpoints + first, current ? current + first : current, scale, rows) ||
            !to_whole(checkpoints + signal.rows + first, voltage ? voltage + first : voltage, scale, rows))
            return 1;
        population.read(checkpoints, signal.rows, first, rows);
        alignas(64) Real tile[TILE_BYTES / sizeof(Real)];
        Ints worst = all(0);
        int32_t* checkpoint = checkpoints;
        for (int64_t t = 0; t < signal.steps; t += chunk) {
            const int64_t steps = signal.steps - t < chunk ? signal.steps - t : chunk;
            const int64_t offset = first * signal.row_stride() + t * signal.step_stride();
            if (in_place) {
                run<Real, WIDTH, INTEGRATES, OUTPUT>(population, x + offset, y + offset, signal.rows, signal.rows,
                                                     steps, scale, threshold, worst);
            } else {
                fill_tile(tile, WIDTH, x + offset, signal.row_stride(), signal.step_stride(), rows, steps);
                run<Real, WIDTH, INTEGRATES, OUTPUT>(population, tile, tile, WIDTH, WIDTH, steps, scale, threshold,
                                                     worst);
                empty_tile(tile, WIDTH, y + offset, signal.row_stride(), signal.step_stride(), rows, steps);
            }
            checkpoint += 2 * signal.rows;
            if (t + chunk < signal.steps) population.write(checkpoint, signal.rows, first, rows);
        }
        to_units(last_current, population.current, first, rows);
        to_units(last_voltage, population.voltage, first, rows);
        return out_of_range(worst);
    }

    void to_units(Real* to, const Ints* states, int64_t first, int64_t rows) const {
        for (int64_t i = 0; i < rows; ++i) to[first + i] = Real(states[i / LANES][i % LANES]) * (1 / scale);
    }

    template <bool INTEGRATES, Output OUTPUT>
    int32_t blocks(int64_t* next) const {
        const int64_t width = signal.time_first ? WIDE : NARROW;
        int32_t status = 0;
        for (int64_t number; (number = take(next)) * width < signal.rows;)
            status |= signal.time_first ? block<WIDE, INTEGRATES, OUTPUT>(number)
                                        : block<NARROW, INTEGRATES, OUTPUT>(number);
        return status;
    }

    int32_t all_blocks(Output output, int64_t* next) const {
        if (output == CURRENT) return blocks<true, CURRENT>(next);
        if (output == VOLTAGE) return blocks<false, VOLTAGE>(next);
        if (output == SPIKES) return decays.current ? blocks<true, SPIKES>(next) : blocks<false, SPIKES>(next);
        return decays.current ? blocks<true, GRADED_SPIKES>(next) : blocks<false, GRADED_SPIKES>(next);
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
    const Real* x;
    const Real* grad;  // of the spikes
    Real* grad_x;
    const int32_t* checkpoints;
    int64_t chunk;
    Real scale;
    int32_t threshold;
    Surrogate<Real> surrogate;
    const Real* grad_last_current;  // (rows), of the states after the run; null for zero
    const Real* grad_last_voltage;
    Real* grad_current;  // (rows), of the states before it
    Real* grad_voltage;
    double* grad_keep_current;  // (rows), or null where no decay learns
    double* grad_keep_voltage;

    // States of a chunk: u and v before the reset in units of the input, from the states before it.
    template <int64_t WIDTH, bool INTEGRATES, bool LEARNS>
    void recompute(Population<WIDTH> population, const Real* in, int64_t stride, Real* u, Real* v,
                   int64_t steps) const {
        const Real unit = 1 / scale;
        const Ints limit = all(threshold);
        Ints ignored = all(0);
        for (int64_t t = 0; t < steps; ++t) {
            for (int64_t i = 0; i < WIDTH / LANES; ++i) {
                Ints now;
                const Ints drive = whole<Real>(load(in + t * stride + i * LANES), scale, ignored);
                population.template step<INTEGRATES, true>(i, drive, limit, now);
                store(v + t * WIDTH + i * LANES, convert<Real, int32_t>(now) * all(unit));
                if (LEARNS && INTEGRATES)
                    store(u + t * WIDTH + i * LANES, convert<Real, int32_t>(population.current[i]) * all(unit));
            }
        }
    }

    template <int64_t WIDTH, bool INTEGRATES, bool LEARNS>
    void adjoint(const Population<WIDTH>& population, const Real* out_grad, Real* in_grad, int64_t stride,
                 const Real* u, const Real* v, int64_t steps, Vector<Real>* carry_u, Vector<Real>* carry_v,
                 Vector<Real>* sum_u, Vector<Real>* sum_v) const {
        const Real unit = 1 / scale;
        const Vector<Real> limit = all(surrogate.threshold), zero = all(Real(0));
        Vector<Real> keep_u[WIDTH / LANES], keep_v[WIDTH / LANES];
        for (int64_t i = 0; i < WIDTH / LANES; ++i) {
            const Vector<Real> per_decay = all(Real(1) / (1 << DECAY_BITS));
            if (INTEGRATES) keep_u[i] = convert<Real, int32_t>(population.keep_current[i]) * per_decay;
            keep_v[i] = convert<Real, int32_t>(population.keep_voltage[i]) * per_decay;
        }
        for (int64_t t = steps - 1; t >= 0; --t) {
            for (int64_t i = 0; i < WIDTH / LANES; ++i) {
                const Vector<Real> voltage = load(v + t * WIDTH + i * LANES);
                const Vector<Real> g_v = surrogate(voltage) * load(out_grad + t * stride + i * LANES) + carry_v[i];
                const Vector<Real> g_u = INTEGRATES ? g_v + carry_u[i] : g_v;
                store(in_grad + t * stride + i * LANES, g_u);
                if (LEARNS) {
                    Vector<Real> before = convert<Real, int32_t>(population.voltage[i]) * all(unit);
                    if (t > 0) before = unless_above(load(v + (t - 1) * WIDTH + i * LANES), limit, zero);
                    sum_v[i] += g_v * before;
                    if (INTEGRATES) {
                        before = convert<Real, int32_t>(population.current[i]) * all(unit);
                        if (t > 0) before = load(u + (t - 1) * WIDTH + i * LANES);
                        sum_u[i] += g_u * before;
                    }
                }
                carry_v[i] = g_v * keep_v[i];
                if (INTEGRATES) carry_u[i] = g_u * keep_u[i];
            }
        }
    }

    template <int64_t WIDTH, bool INTEGRATES, bool LEARNS>
    void block(int64_t number) const {
        constexpr int64_t TILE = TILE_BYTES / sizeof(Real);
        const int64_t first = number * WIDTH, rows = signal.rows - first < WIDTH ? signal.rows - first : WIDTH;
        const int64_t row_stride = signal.row_stride(), step_stride = signal.step_stride();
        const bool in_place = signal.time_first && rows == WIDTH;
        Population<WIDTH> population;
        population.set_decays(signal, decays, first, rows);
        alignas(64) Real u[LEARNS && INTEGRATES ? TILE : 1], v[TILE], g[TILE];
        Vector<Real> carry_u[WIDTH / LANES], carry_v[WIDTH / LANES], sum_u[WIDTH / LANES], sum_v[WIDTH / LANES];
        double totals[2][WIDTH] = {};
        from_rows<WIDTH>(carry_u, grad_last_current, first, rows);
        from_rows<WIDTH>(carry_v, grad_last_voltage, first, rows);
        for (int64_t last = (signal.steps - 1) / chunk, c = last; c >= 0; --c) {
            const int64_t t = c * chunk, steps = signal.steps - t < chunk ? signal.steps - t : chunk;
            const int64_t offset = first * row_stride + t * step_stride;
            population.read(checkpoints + 2 * c * signal.rows, signal.rows, first, rows);
            if (in_place) {
                recompute<WIDTH, INTEGRATES, LEARNS>(population, x + offset, signal.rows, u, v, steps);
            } else {
                fill_tile(v, WIDTH, x + offset, row_stride, step_stride, rows, steps);
                recompute<WIDTH, INTEGRATES, LEARNS>(population, v, WIDTH, u, v, steps);
                fill_tile(g, WIDTH, grad + offset, row_stride, step_stride, rows, steps);
            }
            for (int64_t i = 0; i < WIDTH / LANES; ++i) sum_u[i] = sum_v[i] = all(Real(0));
            if (in_place) {
                adjoint<WIDTH, INTEGRATES, LEARNS>(population, grad + offset, grad_x + offset, signal.rows, u, v,
                                                     steps, carry_u, carry_v, sum_u, sum_v);
            } else {
                adjoint<WIDTH, INTEGRATES, LEARNS>(population, g, g, WIDTH, u, v, steps, carry_u, carry_v, sum_u,
                                                     sum_v);
                empty_tile(g, WIDTH, grad_x + offset, row_stride, step_stride, rows, steps);
            }
            for (int64_t i = 0; LEARNS && i < WIDTH; ++i) {
                totals[0][i] += sum_u[i / LANES][i % LANES];
                totals[1][i] += sum_v[i / LANES][i % LANES];
            }
        }
        to_rows<WIDTH>(grad_current, carry_u, first, rows);
        to_rows<WIDTH>(grad_voltage, carry_v, first, rows);
        if (LEARNS && INTEGRATES) std::memcpy(grad_keep_current + first, totals[0], rows * sizeof(double));
        if (LEARNS) std::memcpy(grad_keep_voltage + first, totals[1], rows * sizeof(double));
    }

    static INLINE Vector<Real> unless_above(const Vector<Real>& value, const Vector<Real>& limit,
                                            const Vector<Real>& otherwise) {
#ifdef VECTOR_TYPES
        return value > limit ? otherwise : value;
#else
        Vector<Real> y;
        for (int i = 0; i < LANES; ++i) y[i] = value[i] > limit[i] ? otherwise[i] : value[i];
        return y;
#endif
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
                block<WIDE, INTEGRATES, LEARNS>(number);
            else
                block<NARROW, INTEGRATES, LEARNS>(number);
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
     const REAL* current, const REAL* voltage, REAL* last_current, REAL* last_voltage, int32_t* checkpoints,        \
     int64_t chunk, double scale, int32_t threshold, int32_t output, int64_t* next) {                               \
        return Forward<REAL>{{rows, steps, time_first, inner},                                                      \
                             {keep_current, keep_voltage, current_channels, voltage_channels},                      \
                             x, y, current, voltage, last_current, last_voltage, checkpoints, chunk, REAL(scale),   \
                             threshold}                                                                             \
            .all_blocks(Output(output), next);                                                                      \
    }
INTEGRATE(integrate_float, float)
INTEGRATE(integrate_double, double)

#define CUBA_BACKWARD(NAME, REAL)                                                                                   \
    KERNEL(NAME)                                                                                                    \
    (const REAL* x, const REAL* grad, REAL* grad_x, int64_t rows, int64_t steps, int64_t time_first, int64_t inner, \
     const int32_t* keep_current, int64_t current_channels, const int32_t* keep_voltage, int64_t voltage_channels,  \
     const REAL* grad_last_current, const REAL* grad_last_voltage, REAL* grad_current, REAL* grad_voltage,          \
     const int32_t* checkpoints, int64_t chunk, double scale, int32_t threshold, double threshold_in_units,         \
     double tau, double height, int32_t graded, double* grad_keep_current, double* grad_keep_voltage,               \
     int64_t* next) {                                                                                               \
        Backward<REAL>{{rows, steps, time_first, inner},                                                            \
                       {keep_current, keep_voltage, current_channels, voltage_channels},                            \
                       x, grad, grad_x, checkpoints, chunk, REAL(scale), threshold,                                 \
                       {REAL(threshold_in_units), REAL(tau), REAL(height), graded ? REAL(0) : REAL(-1)},            \
                       grad_last_current, grad_last_voltage, grad_current, grad_voltage,                            \
                       grad_keep_current, grad_keep_voltage}                                                        \
            .all_blocks(next);                                                                                      \
        return 0;                                                                                                   \
    }
CUBA_BACKWARD(cuba_backward_float, float)
CUBA_BACKWARD(cuba_backward_double, double)
