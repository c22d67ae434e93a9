// The CUBA neuron forward in one pass: current, voltage, reset and spike. The current alone, and the voltage from a given
// current, are the same pass with less in it.

#include "cuba.h"
#include "kernel.h"

namespace {

enum Output { CURRENT, VOLTAGE, SPIKES, GRADED_SPIKES };

enum Status { OUT_OF_RANGE = 1, CLIPPED = 2 };

inline bool any(const Ints& x) {
    int32_t found = 0;
    for (int i = 0; i < LANES; ++i) found |= x[i];
    return found != 0;
}

// What a step sends; `now` is u, or v before its reset.
template <class Real, Output OUTPUT>
INLINE Vector<Real> sent(const Ints& now, const Ints& fires, Real unit) {
    if (OUTPUT == SPIKES) return convert<Real, int32_t>(fires & all(1));
    return convert<Real, int32_t>(OUTPUT == GRADED_SPIKES ? now & fires : now) * all(unit);
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
             int64_t groups, const Voltages& voltages, int64_t begin, Ints& worst, Ints& clipped,
             const Fetched<Real, WIDTH>& next, const Fetched<Real, WIDTH>& target) const {
        const Real unit = 1 / scale;
        const Ints limit = all(threshold);
        Population<WIDTH> population = given;
        Ints largest = worst, bits = clipped;
        for (int64_t t = 0; t < steps; ++t) {
            if (WIDTH == NARROW) next.in_step(t), target.in_step(t);
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
        constexpr int64_t LONGEST = TILE_BYTES / int64_t(sizeof(Real)) / WIDTH;
        const int64_t chunk = even_chunk(signal.steps, LONGEST);
        alignas(64) Real tile[LONGEST * WIDTH];
        Population<WIDTH> population;
        population.set_decays(signal, decays, block.first, rows);
        if (!to_whole(population.current, current ? current + block.first : current, scale, rows, WIDTH) ||
            !to_whole(population.voltage, voltage ? voltage + block.first : voltage, scale, rows, WIDTH))
            return OUT_OF_RANGE;
        const Voltages voltages = KEEPS ? block.of(words, signal.steps) : Voltages();
        Ints worst = all(0), clipped = all(0);
        for (int64_t t = 0; t < signal.steps; t += chunk) {
            const int64_t steps = signal.steps - t < chunk ? signal.steps - t : chunk;
            const int64_t offset = block.first * row_stride + t * step_stride;
            if (in_place) {
                run<INTEGRATES, OUTPUT, KEEPS>(population, x + offset, y + offset, signal.rows, signal.rows, steps,
                                               WIDTH / LANES / GROUP, voltages, t, worst, clipped, {}, {});
            } else {
                fill_tile(tile, WIDTH, x + offset, row_stride, step_stride, rows, steps);
                const bool full = WIDTH == NARROW && rows == WIDTH;
                const Real* next = nullptr;
                if (full && t + chunk < signal.steps)
                    next = x + offset + chunk;
                else if (full && block.first + 2 * WIDTH <= signal.rows)
                    next = x + (block.first + WIDTH) * row_stride;
                run<INTEGRATES, OUTPUT, KEEPS>(population, tile, tile, WIDTH, WIDTH, steps, block.groups(), voltages,
                                               t, worst, clipped, {next, row_stride},
                                               {full ? y + offset : nullptr, row_stride});
                empty_tile(tile, WIDTH, y + offset, row_stride, step_stride, rows, steps);
            }
        }
        to_units<WIDTH>(last_current + block.first, population.current, rows);
        to_units<WIDTH>(last_voltage + block.first, population.voltage, rows);
        return (out_of_range(worst) ? OUT_OF_RANGE : 0) | (any(clipped) ? CLIPPED : 0);
    }

    template <int64_t WIDTH>
    void to_units(Real* to, const Ints* states, int64_t rows) const {
        Real lanes[WIDTH];
        for (int64_t i = 0; i < WIDTH / LANES; ++i) store(lanes + i * LANES, convert<Real, int32_t>(states[i]) * all(1 / scale));
        std::memcpy(to, lanes, rows * sizeof(Real));
    }

    template <bool INTEGRATES, Output OUTPUT, bool KEEPS>
    int32_t blocks(int64_t* next) const {
        const int64_t width = signal.time_first ? WIDE : NARROW;
        int32_t status = 0;
        const int64_t count = (signal.rows + width - 1) / width, share = blocks_at_once(count);
        for (int64_t begin; (begin = take(next) * share) < count;)
            for (int64_t number = begin; number < begin + share && number < count; ++number)
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

template <class Real>
int32_t integrate(int64_t* next, const Real* x, Real* y, int64_t rows, int64_t steps, int64_t time_first, int64_t inner,
                  const double* keep_current, int64_t current_channels, const double* keep_voltage,
                  int64_t voltage_channels, const Real* current, const Real* voltage, Real* last_current,
                  Real* last_voltage, int32_t* words, double scale, int32_t threshold, int32_t output) {
    return Forward<Real>{{rows, steps, time_first, inner},
                         {keep_current, keep_voltage, current_channels, voltage_channels},
                         x,
                         y,
                         current,
                         voltage,
                         last_current,
                         last_voltage,
                         words,
                         Real(scale),
                         threshold}
        .all_blocks(Output(output), next);
}

}  // namespace

KERNEL(integrate)
