// Delays: each row moved along time by the whole steps of its channel, forward and backward.

#include "kernel.h"
#include "population.h"

namespace {

struct Delays {
    const int64_t* steps;  // (channels)
    int64_t channels;
    int64_t known;  // steps before the run that come from a state; before those there is silence
};

template <class Real>
INLINE void copy(Real* to, const Real* from, int64_t size) {
    std::memcpy(to, from, size * sizeof(Real));
}

template <class Real>
INLINE void clear(Real* to, int64_t size) {
    std::memset(to, 0, size * sizeof(Real));
}

INLINE int64_t within(int64_t value, int64_t limit) { return value < 0 ? 0 : value < limit ? value : limit; }

// A signal with time first, in the direction in which it is delayed: backward, the gradient's time runs from the last
// step to the first, and on into the state.
template <class Real>
struct Track {
    const Real* from;
    Real* to;
    int64_t stride;  // from one step to the next
    int64_t steps;
    const Real* past;  // (known, rows), the steps before step 0, or null
    Real* future;      // (known, rows), where the steps after the last one go, from the last of them on, or null
    int64_t known, rows;

    int64_t outputs() const { return future ? steps + known : steps; }

    const Real* in(int64_t step) const {  // null: silence
        if (step >= steps) return nullptr;
        if (step >= 0) return from + step * stride;
        return past && step + known >= 0 ? past + (step + known) * rows : nullptr;
    }

    Real* out(int64_t step) const {
        return step < steps ? to + step * stride : future + (steps + known - 1 - step) * rows;
    }
};

// Rows side by side, and the delay of each. Neighbours of one delay are a run.
template <class Real>
struct Block {
    static constexpr int64_t RING = 64;  // steps, which is more than the chip's longest delay
    static constexpr int64_t WIDTH = TILE_BYTES / (4 * RING) / int64_t(sizeof(Real));
    static constexpr int64_t AHEAD = 8;                  // steps
    static constexpr int64_t LINE = 64 / sizeof(Real);   // of the cache

    int64_t first, rows, runs = 0, most = 0;
    int64_t delay[WIDTH], length[WIDTH];  // of each run
    int32_t back[WIDTH];                  // from a row's place in the ring to the delayed one

    Block(const Signal& signal, const Delays& delays, int64_t begin, int64_t end) {
        first = begin;
        rows = end - begin < WIDTH ? end - begin : WIDTH;
        int64_t steps[WIDTH];
        per_row(steps, rows, delays.steps, delays.channels, signal.inner, first, rows);
        for (int64_t i = 0; i < rows; ++i) {
            if (i == 0 || steps[i] != steps[i - 1]) {
                delay[runs] = steps[i];
                length[runs++] = 0;
            }
            ++length[runs - 1];
            if (steps[i] > most) most = steps[i];
            back[i] = int32_t(i - steps[i] * WIDTH);
        }
    }

    void move(const Track<Real>& track) const {
        if (runs * LANES <= rows || runs == 1 || most >= RING)
            by_runs(track);
        else
            by_rows(track);
    }

    // Steps lie too far apart in memory for the processor to foresee which comes next.
    INLINE void fetch(const Track<Real>& track, int64_t step) const {  // GCC drops calls that only fetch
#if defined(__GNUC__)
        const Real* from = track.in(step);
        for (int64_t i = first; from && i < first + rows; i += LINE) __builtin_prefetch(from + i);
        Real* to = step >= 0 && step < track.steps ? track.out(step) : nullptr;
        for (int64_t i = first; to && i < first + rows; i += LINE) __builtin_prefetch(to + i, 1);
#endif
    }

    void by_runs(const Track<Real>& track) const {
        for (int64_t t = 0; t < track.outputs(); ++t) {
            fetch(track, t + AHEAD);
            for (int64_t run = 0, i = first; run < runs; i += length[run++]) {
                const Real* from = track.in(t - delay[run]);
                if (from)
                    copy(track.out(t) + i, from + i, length[run]);
                else
                    clear(track.out(t) + i, length[run]);
            }
        }
    }

    // The last steps are kept side by side, and twice, so that they are in order from any of them back: in the signal,
    // those of one row are often a power of two apart, and push each other out of the cache.
    void by_rows(const Track<Real>& track) const {
        int64_t size = 1;
        while (size <= most) size *= 2;
        alignas(64) Real ring[2 * RING * WIDTH];
        for (int64_t t = -most; t < track.outputs(); ++t) {
            Real* now = ring + ((t & (size - 1)) + size) * WIDTH;
            const Real* from = track.in(t);
            if (from)
                copy(now, from + first, rows);
            else
                clear(now, rows);
            copy(now - size * WIDTH, now, rows);
            fetch(track, t + AHEAD);
            if (t < 0) continue;
            Real* to = track.out(t) + first;
            for (int64_t i = 0; i < rows; ++i) to[i] = now[back[i]];
        }
    }
};

template <class Real>
struct Forward {
    Signal signal;
    Delays delays;
    const Real* x;
    const Real* state;  // (rows, known) or (known, rows)
    Real* y;

    void row(int64_t number) const {
        const int64_t delay = delays.steps[number / signal.inner % delays.channels], steps = signal.steps;
        const int64_t silent = within(delay - delays.known, steps), early = within(delay, steps);
        Real* to = y + number * steps;
        clear(to, silent);
        if (early > silent)
            copy(to + silent, state + (number + 1) * delays.known + silent - delay, early - silent);
        copy(to + early, x + number * steps, steps - early);
    }

    void block(int64_t begin, int64_t end) const {
        const Track<Real> track{x, y, signal.rows, signal.steps, state, nullptr, delays.known, signal.rows};
        for (; begin < end; begin += Block<Real>::WIDTH) Block<Real>(signal, delays, begin, end).move(track);
    }
};

template <class Real>
struct Backward {
    Signal signal;
    Delays delays;
    const Real* grad;
    Real* grad_x;
    Real* grad_state;    // null where there is no state
    const Real* y;       // null where no delay learns
    const Real* before;  // (rows), y one step before the run; null for silence
    double* grad_delay;  // (rows)

    static constexpr int64_t CHUNK = 256;  // steps that are summed in Real

    void row(int64_t number) const {
        const int64_t delay = delays.steps[number / signal.inner % delays.channels], steps = signal.steps;
        const int64_t silent = within(delay - delays.known, steps), early = within(delay, steps);
        const Real* from = grad + number * steps;
        Real* to = grad_x + number * steps;
        copy(to, from + early, steps - early);
        clear(to + steps - early, early);
        if (grad_state) {
            Real* past = grad_state + number * delays.known;
            clear(past, delays.known);
            if (early > silent) copy(past + delays.known + silent - delay, from + silent, early - silent);
        }
        if (!y) return;
        const Real* at = y + number * steps;
        double sum = double(from[0]) * (at[0] - (before ? before[number] : Real(0)));
        for (int64_t t = 1; t < steps; t += CHUNK)
            sum += along_time(from + t, at + t, steps - t < CHUNK ? steps - t : CHUNK);
        grad_delay[number] = -sum;
    }

    // As many sums side by side for every instruction set, so that they round alike.
    static Real along_time(const Real* g, const Real* at, int64_t size) {
        constexpr int64_t SUMS = 32;
        Real sums[SUMS] = {};
        int64_t t = 0;
        for (; t + SUMS <= size; t += SUMS)
            for (int64_t i = 0; i < SUMS; ++i) sums[i] += g[t + i] * (at[t + i] - at[t + i - 1]);
        Real sum = 0;
        for (int64_t i = 0; i < SUMS; ++i) sum += sums[i];
        for (; t < size; ++t) sum += g[t] * (at[t] - at[t - 1]);
        return sum;
    }

    void block(int64_t begin, int64_t end) const {
        const int64_t rows = signal.rows, last = (signal.steps - 1) * rows;
        const Track<Real> track{grad + last, grad_x + last, -rows,        signal.steps,
                                nullptr,     grad_state,    delays.known, rows};
        for (int64_t i = begin; i < end; i += Block<Real>::WIDTH) Block<Real>(signal, delays, i, end).move(track);
        if (y) beside_each_other(begin, end - begin);
    }

    void beside_each_other(int64_t first, int64_t rows) const {
        double total[WIDE] = {};
        Real last[WIDE] = {};
        if (before) copy(last, before + first, rows);
        for (int64_t t = 0; t < signal.steps;) {
            Real sum[WIDE] = {};
            const int64_t end = signal.steps - t < CHUNK ? signal.steps : t + CHUNK;
            for (; t < end; ++t) {
                const Real* g = grad + t * signal.rows + first;
                const Real* now = y + t * signal.rows + first;
                for (int64_t i = 0; i < rows; ++i) {
                    sum[i] += g[i] * (now[i] - last[i]);
                    last[i] = now[i];
                }
            }
            for (int64_t i = 0; i < rows; ++i) total[i] -= double(sum[i]);
        }
        copy(grad_delay + first, total, rows);
    }
};

template <class Kind>
void blocks(const Kind& kind, int64_t* next) {
    const Signal& signal = kind.signal;
    const int64_t width = signal.time_first ? WIDE : NARROW;
    for (int64_t begin; (begin = take(next) * width) < signal.rows;) {
        const int64_t end = signal.rows - begin < width ? signal.rows : begin + width;
        if (signal.time_first) {
            kind.block(begin, end);
        } else {
            for (int64_t i = begin; i < end; ++i) kind.row(i);
        }
    }
}

template <class Real>
int32_t delay(int64_t* next, const Real* x, const Real* state, Real* y, int64_t rows, int64_t steps, int64_t time_first,
              int64_t inner, const int64_t* delays, int64_t channels, int64_t known) {
    blocks(Forward<Real>{{rows, steps, time_first, inner}, {delays, channels, known}, x, state, y}, next);
    return 0;
}

template <class Real>
int32_t delay_backward(int64_t* next, const Real* grad, Real* grad_x, Real* grad_state, const Real* y,
                       const Real* before, double* grad_delay, int64_t rows, int64_t steps, int64_t time_first,
                       int64_t inner, const int64_t* delays, int64_t channels, int64_t known) {
    blocks(Backward<Real>{{rows, steps, time_first, inner},
                          {delays, channels, known},
                          grad,
                          grad_x,
                          grad_state,
                          y,
                          before,
                          grad_delay},
           next);
    return 0;
}

}  // namespace

KERNEL(delay)
KERNEL(delay_backward)
