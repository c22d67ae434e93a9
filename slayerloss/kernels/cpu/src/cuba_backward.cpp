// The CUBA neuron backward in one pass: the surrogate gradient, both filters, and the gradients of both decays.
//
// The voltages come from the forward pass, and the currents follow from them.

#include "cuba.h"
#include "exponential.h"
#include "kernel.h"

namespace {

constexpr int64_t AHEAD = 8;  // steps, of what is fetched where time is first

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
             int64_t steps, int64_t groups, const Voltages& voltages, int64_t begin, const Fetched<Real, WIDTH>& next,
             const Fetched<Real, WIDTH>& target) const {
        const Real unit = 1 / scale;
        Carried<WIDTH> c = carried;
        for (int64_t t = steps - 1; t >= 0; --t) {
            if (WIDTH == NARROW) next.in_step(t), target.in_step(t);
            for (int64_t group = 0; group < groups; ++group) {
                Ints v[GROUP], v_before[GROUP], u_before[GROUP];
                voltages.get(begin + t, group, v);
                if (LEARNS) states_before(population, voltages, begin + t, group, v_before, u_before);
                for (int64_t k = 0; k < GROUP; ++k) {
                    const int64_t i = group * GROUP + k;
                    if (WIDTH == WIDE) prefetch(in + (t - AHEAD) * stride + i * LANES);
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
        constexpr int64_t LONGEST = TILE_BYTES / int64_t(sizeof(Real)) / WIDTH;
        const int64_t chunk = even_chunk(signal.steps, LONGEST);
        alignas(64) Real tile[LONGEST * WIDTH];
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
        const int64_t last = (signal.steps - 1) / chunk * chunk;
        for (int64_t t = last; t >= 0; t -= chunk) {
            const int64_t steps = signal.steps - t < chunk ? signal.steps - t : chunk;
            const int64_t offset = first * row_stride + t * step_stride;
            for (int64_t i = 0; i < WIDTH / LANES; ++i) carried.sum_u[i] = carried.sum_v[i] = all(Real(0));
            if (in_place) {
                run<INTEGRATES, LEARNS>(carried, population, grad + offset, grad_x + offset, signal.rows, steps,
                                        WIDTH / LANES / GROUP, voltages, t, {}, {});
            } else {
                fill_tile(tile, WIDTH, grad + offset, row_stride, step_stride, rows, steps);
                const bool full = WIDTH == NARROW && rows == WIDTH;
                const Real* next = nullptr;
                if (full && t > 0)
                    next = grad + offset - chunk;
                else if (full && first + 2 * WIDTH <= signal.rows)
                    next = grad + (first + WIDTH) * row_stride + last;
                run<INTEGRATES, LEARNS>(carried, population, tile, tile, WIDTH, steps, block.groups(), voltages, t,
                                        {next, row_stride},
                                        {full ? grad_x + offset : nullptr, row_stride});
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
        const int64_t count = (signal.rows + width - 1) / width, share = blocks_at_once(count);
        for (int64_t begin; (begin = take(next) * share) < count;) {
            for (int64_t number = begin; number < begin + share && number < count; ++number) {
                if (signal.time_first)
                    block<INTEGRATES, LEARNS>(Block<WIDE>(number, signal.rows));
                else
                    block<INTEGRATES, LEARNS>(Block<NARROW>(number, signal.rows));
            }
        }
    }

    void all_blocks(int64_t* next) const {
        if (grad_keep_voltage)
            decays.current ? blocks<true, true>(next) : blocks<false, true>(next);
        else
            decays.current ? blocks<true, false>(next) : blocks<false, false>(next);
    }
};

template <class Real>
int32_t cuba_backward(int64_t* next, int32_t* words, const Real* grad, Real* grad_x, int64_t rows, int64_t steps,
                      int64_t time_first, int64_t inner, const double* keep_current, int64_t current_channels,
                      const double* keep_voltage, int64_t voltage_channels, const Real* current, const Real* voltage,
                      const Real* grad_last_current, const Real* grad_last_voltage, Real* grad_current,
                      Real* grad_voltage, double* grad_keep_current, double* grad_keep_voltage, double scale,
                      int32_t threshold, double threshold_in_units, double tau, double height, int32_t graded) {
    Backward<Real>{{rows, steps, time_first, inner},
                   {keep_current, keep_voltage, current_channels, voltage_channels},
                   words,
                   current,
                   voltage,
                   grad,
                   grad_x,
                   grad_last_current,
                   grad_last_voltage,
                   grad_current,
                   grad_voltage,
                   grad_keep_current,
                   grad_keep_voltage,
                   Real(scale),
                   threshold,
                   {Real(threshold_in_units), Real(tau), Real(height), graded ? Real(0) : Real(-1)}}
        .all_blocks(next);
    return 0;
}

}  // namespace

KERNEL(cuba_backward)
