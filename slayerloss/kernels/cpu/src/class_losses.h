// What the losses over classes share: the steps of a block with their labels and weights, and the rows of its classes.
#pragma once

#include "exponential.h"
#include "kernel.h"
#include "layout.h"
#include "sliding.h"
#include "tiles.h"

namespace {

enum Kind { PROBABILITY, SOFTMAX, RATES, SIGMOID };

constexpr int32_t REFUSED = 1;  // a status: there is a value that the checks in Python refuse

// `yes` where the value is above 0.
template <class Real>
INLINE Vector<Real> where_above(const Vector<Real>& value, const Vector<Real>& yes, const Vector<Real>& no) {
#ifdef VECTOR_TYPES
    return value > all(Real(0)) ? yes : no;
#else
    Vector<Real> y;
    for (int i = 0; i < LANES; ++i) y[i] = value[i] > 0 ? yes[i] : no[i];
    return y;
#endif
}

// Whether this block is the last one to be done, where `done` counts them; what the others wrote is then to be seen.
inline bool last_of(int64_t blocks, int64_t* done) {
#if defined(_MSC_VER) && !defined(__clang__)
    return _InterlockedExchangeAdd64(reinterpret_cast<long long*>(done), 1) + 1 == blocks;
#else
    return __atomic_add_fetch(done, 1, __ATOMIC_ACQ_REL) == blocks;
#endif
}

// `yes` where two whole numbers are the same.
template <class Real>
INLINE Vector<Real> where_same(const Vector<Real>& a, const Vector<Real>& b, const Vector<Real>& yes,
                               const Vector<Real>& no) {
#ifdef VECTOR_TYPES
    return a == b ? yes : no;
#else
    Vector<Real> y;
    for (int i = 0; i < LANES; ++i) y[i] = a[i] == b[i] ? yes[i] : no[i];
    return y;
#endif
}

template <class Real>
struct Problem {
    int64_t kind, samples, classes, steps, window, seen, chunk;
    const Real* x;  // (N, C, T) with strides
    int64_t x_sample, x_class, x_step;
    const int64_t* labels;  // (N, T) with strides, or null: targets
    int64_t label_sample, label_step, ignores, ignored;
    const int64_t* lengths;  // (N), or null
    const Real* weights;     // (C), or null
    const Real* targets;     // (N, C, T) with strides, or null: labels
    int64_t target_sample, target_class, target_step;
    double temperature, low, high, smoothing;

    int64_t reach() const { return least(window, steps); }  // what is before the first step is zero
    int64_t chunks() const { return (steps + chunk - 1) / chunk; }
    int64_t blocks() const { return samples * chunks(); }
    // Whether each class is the label of so many steps that all are compared with it.
    bool dense() const { return labels && label_step && classes <= 64; }
    Real class_weight(int64_t c) const { return weights ? weights[c] : Real(1); }
};

// Rows in the cache, for one thread: a number for each step of a block, and of the windows around it.
template <class Real>
struct Workspace {
    static constexpr int64_t ROWS = 14;
    Scratch memory;
    int64_t room;
    Real *row, *result, *slope, *sum, *other, *peak, *picked, *wanted, *scale, *duration, *weight, *counted, *mask,
        *tag;  // the label
    Real *tile, *sink;                     // LANES rows each
    int32_t *label, *next, *head, *often;  // of each step, and of each class: where it is the label

    static int64_t room_of(const Problem<Real>& problem) {
        return (problem.chunk + 2 * problem.reach() + 2 * SLACK + 15) / 16 * 16;
    }

    explicit Workspace(const Problem<Real>& problem)
        : memory((ROWS + 2 * LANES) * room_of(problem) * int64_t(sizeof(Real)) +
                 2 * (room_of(problem) + problem.classes) * int64_t(sizeof(int32_t))),
          room(room_of(problem)) {
        Real* free = memory.template as<Real>();
        if (!free) return;
        Real** rows[ROWS] = {&row,    &result, &slope,    &sum,    &other,   &peak, &picked,
                             &wanted, &scale,  &duration, &weight, &counted, &mask, &tag};
        std::memset(free, 0, ROWS * room * sizeof(Real));
        for (Real** each : rows) *each = free, free += room;
        tile = free;
        sink = tile + LANES * room;
        label = reinterpret_cast<int32_t*>(sink + LANES * room);
        next = label + room;
        head = next + room;
        often = head + problem.classes;
        std::memset(often, 0, problem.classes * sizeof(int32_t));
    }
};

// The steps of a block. The steps of which a class is the label are in a list; where labels are dense they are `tag`.
template <class Real>
struct Steps {
    const Problem<Real>& problem;
    Workspace<Real>& work;
    int64_t sample, first, count;

    Steps(const Problem<Real>& of, Workspace<Real>& with, int64_t number)
        : problem(of),
          work(with),
          sample(number / of.chunks()),
          first(number % of.chunks() * of.chunk),
          count(least(of.steps - first, of.chunk)) {}

    ~Steps() {
        if (problem.dense()) return;
        const int64_t different = problem.label_step ? count : least(count, 1);
        for (int64_t t = 0; t < different; ++t)
            if (work.label[t] >= 0) work.often[work.label[t]] = 0;
    }

    // Read what belongs to the steps, and to `more` steps that follow.
    int32_t prepare(int64_t more) {
        count = least(problem.steps - first, count + more);
        const int64_t length = problem.lengths ? problem.lengths[sample] : problem.steps;
        const int64_t valid = length < first ? 0 : least(length - first, count);
        int32_t status = length < 1 || length > problem.steps ? REFUSED : 0;
        const Real duration = Real(problem.window), scale = 1 / duration;
        for (int64_t t = 0; t < count + SLACK; ++t) work.duration[t] = duration, work.scale[t] = scale;
        for (int64_t t = 0; problem.seen && t < count && first + t + 1 < problem.window; ++t)
            work.scale[t] = 1 / (work.duration[t] = Real(first + t + 1));
        for (int64_t t = 0; t < count + SLACK; ++t) work.counted[t] = t < valid, work.weight[t] = 0;
        if (!problem.labels)
            for (int64_t t = 0; t < count; ++t) work.label[t] = -1;
        else if (problem.dense())
            status |= read_tags(valid);
        else if (problem.label_step)
            status |= read_labels(valid);
        else
            status |= read_label(valid);
        std::memcpy(work.mask, work.counted, (count + SLACK) * sizeof(Real));
        return status;
    }

    // A label, or -1 for the ignored one, or -2 for one that there is not.
    int64_t label_at(int64_t step) const {
        const int64_t label = problem.labels[sample * problem.label_sample + step * problem.label_step];
        if (problem.ignores && label == problem.ignored) return -1;
        return label < 0 || label >= problem.classes ? -2 : label;
    }

    // One for each step, of which the first `valid` are counted.
    int32_t read_labels(int64_t valid) {
        bool refused = false;
        for (int64_t t = valid; t < count; ++t) work.label[t] = -1;
        for (int64_t t = valid - 1; t >= 0; --t) {
            const int64_t label = label_at(first + t);
            work.label[t] = int32_t(label);
            if (label < 0) {
                refused |= label == -2;
                work.counted[t] = 0;
                continue;
            }
            work.next[t] = work.often[label]++ ? work.head[label] : -1;
            work.head[label] = int32_t(t);
            work.weight[t] = problem.class_weight(label);
        }
        return refused ? REFUSED : 0;
    }

    // The same where labels are dense.
    int32_t read_tags(int64_t valid) {
        const int64_t* from = problem.labels + sample * problem.label_sample + first * problem.label_step;
        const int64_t ignored = problem.ignores ? problem.ignored : 0;
        bool refused = false;
        for (int64_t t = 0; t < valid; ++t) {
            const int64_t label = from[t * problem.label_step];
            const bool known = uint64_t(label) < uint64_t(problem.classes);
            const bool counted = known && !(problem.ignores && label == ignored);
            refused |= !known && !(problem.ignores && label == ignored);
            work.tag[t] = counted ? Real(label) : Real(-1);
            work.counted[t] = Real(counted);
            work.weight[t] = !counted ? Real(0) : problem.weights ? problem.weights[label] : Real(1);
        }
        for (int64_t t = valid; t < count + SLACK; ++t) work.tag[t] = -1;
        return refused ? REFUSED : 0;
    }

    // One for all.
    int32_t read_label(int64_t valid) {
        const int64_t label = valid ? label_at(0) : -1;
        for (int64_t t = 0; t < count; ++t) work.label[t] = int32_t(label), work.next[t] = int32_t(t + 1);
        if (label < 0) {
            for (int64_t t = 0; t < valid; ++t) work.counted[t] = 0;
            return label == -2 ? REFUSED : 0;
        }
        const Real weight = problem.class_weight(label);
        for (int64_t t = 0; t < valid; ++t) work.weight[t] = weight;
        work.often[label] = int32_t(valid);
        work.head[label] = 0;
        work.next[valid - 1] = -1;
        return 0;
    }

    int64_t often(int64_t c) const { return work.often[c]; }

    // Give a row the values where class c is the label.
    void set(int64_t c, Real* row, const Real* values) const {
        if (problem.dense())
            each(count, [&](int64_t t) { store(row + t, if_label(c, t, load(values + t), load(row + t))); });
        else
            occurrences(c, [&](int64_t t) { row[t] = values[t]; });
    }

    void set(int64_t c, Real* row, Real value) const {
        if (problem.dense())
            each(count, [&](int64_t t) { store(row + t, if_label(c, t, all(value), load(row + t))); });
        else
            occurrences(c, [&](int64_t t) { row[t] = value; });
    }

    void subtract(int64_t c, Real* row, const Real* values) const {
        if (problem.dense())
            each(count, [&](int64_t t) {
                store(row + t, load(row + t) - if_label(c, t, load(values + t), all(Real(0))));
            });
        else
            occurrences(c, [&](int64_t t) { row[t] -= values[t]; });
    }

    INLINE Vector<Real> if_label(int64_t c, int64_t t, const Vector<Real>& yes, const Vector<Real>& no) const {
        return where_same<Real>(load(work.tag + t), all(Real(c)), yes, no);
    }

    // Of every step of which class c is the label.
    template <class Function>
    INLINE void occurrences(int64_t c, const Function& function) const {
        if (!work.often[c]) return;
        for (int64_t t = work.head[c]; t >= 0; t = work.next[t]) function(t);
    }

    // Of every LANES-th of `length` steps.
    template <class Function>
    static INLINE void each(int64_t length, const Function& function) {
        for (int64_t t = 0; t < length; t += LANES) function(t);
    }

    // The counts of the true class c, from its spikes.
    void pick(int64_t c, Real* row, int64_t window) const {
        if (!problem.dense() && often(c) * window < count) {
            occurrences(c, [&](int64_t t) {
                double parts[4] = {};
                for (int64_t i = 0; i < window; ++i) parts[i % 4] += row[t + i];
                work.picked[t] = Real((parts[0] + parts[1]) + (parts[2] + parts[3]));
            });
        } else {
            set(c, work.picked, window_sums(row, work.result, count, window));
        }
    }

    // SpikeMoid's targets of class c, in `wanted`, and where they are counted, in `mask`.
    int32_t targets(int64_t c) const {
        if (!problem.targets) {
            set(c, work.wanted, Real(1));
            return 0;
        }
        const Real* from = problem.targets + sample * problem.target_sample + c * problem.target_class;
        bool inside = true;
        for (int64_t t = 0; t < count; ++t) {
            const Real target = from[(first + t) * problem.target_step];
            const bool counted = work.counted[t] > 0 && !(problem.ignores && target == Real(problem.ignored));
            inside &= !counted || (target >= 0 && target <= 1);
            work.wanted[t] = counted ? target : Real(0);
            work.mask[t] = Real(counted);
        }
        return inside ? 0 : REFUSED;
    }

    void forget_targets(int64_t c) const {
        if (!problem.targets) set(c, work.wanted, Real(0));
    }

    // Save lanes of a row that ends with the steps.
    INLINE void put(Real* to, int64_t t, const Vector<Real>& values) const {
        if (count - t >= LANES)
            store(to + t, values);
        else
            std::memcpy(to + t, &values, (count - t) * sizeof(Real));
    }
};

// The spikes of each class over the steps of a block, with silence before the first step of all.
template <class Real>
class Rows {
    using Bits = typename Power<Real>::Bits;
    static constexpr Real LARGEST = Real(1e9);  // as `LARGEST_SPIKE`

    const Problem<Real>& problem;
    Workspace<Real>& work;
    const Real* base;
    const Real* last;  // element of all
    int64_t silent, known;
    Vector<Bits> worst;

    // Collect the bits of the largest magnitude: NaN and infinity are larger than any number.
    INLINE void look_at(const Vector<Real>& x) {
        Vector<Bits> bits;
        std::memcpy(&bits, &x, sizeof bits);
        worst = larger_bits(worst, bits & all(Bits(~Bits(0) ^ (Bits(1) << (sizeof(Bits) * 8 - 1)))));
    }

    static INLINE Vector<Bits> larger_bits(const Vector<Bits>& a, const Vector<Bits>& b) { return larger<Bits>(a, b); }

    static INLINE Vector<Real> some(const Real* from, int64_t count) {
        Vector<Real> x = all(Real(0));
        std::memcpy(&x, from, count * sizeof(Real));
        return x;
    }

    void copy(Real* to, const Real* from) {
        int64_t t = 0;
        for (; known - t >= LANES; t += LANES) {
            const Vector<Real> x = load(from + t);
            look_at(x);
            store(to + t, x);
        }
        if (t == known) return;
        const Vector<Real> x = some(from + t, known - t);
        look_at(x);
        store(to + t, x);
    }

    // LANES classes from c on, whose steps lie one after the other.
    void fill_tile(int64_t c) {
        const int64_t rows = least(problem.classes - c, LANES);
        for (int64_t t = 0; t < known; t += LANES) {
            Vector<Real> square[LANES];
            for (int64_t i = 0; i < LANES; ++i) {
                const Real* from = base + c + (t + i) * problem.x_step;
                if (t + i >= known)
                    square[i] = all(Real(0));
                else
                    square[i] = last - from >= LANES - 1 ? load(from) : some(from, rows);
            }
            transpose<Real>(square);
            for (int64_t i = 0; i < rows; ++i) {
                look_at(square[i]);
                store(work.tile + i * work.room + silent + t, square[i]);
            }
        }
    }

   public:
    Rows(const Problem<Real>& of, Workspace<Real>& with, int64_t sample, int64_t first, int64_t length)
        : problem(of), work(with), silent(first < 0 ? -first : 0), known(length - silent), worst(all(Bits(0))) {
        base = of.x + sample * of.x_sample + (first + silent) * of.x_step;
        last = of.x + (of.samples - 1) * of.x_sample + (of.classes - 1) * of.x_class + (of.steps - 1) * of.x_step;
    }

    // May be overwritten; there is SLACK behind.
    Real* get(int64_t c) {
        Real* row = work.row;
        if (problem.x_step == 1) {
            copy(row + silent, base + c * problem.x_class);
        } else if (problem.x_class == 1) {
            if (c % LANES == 0) fill_tile(c);
            row = work.tile + c % LANES * work.room;
        } else {
            for (int64_t t = 0; t < known; ++t)
                row[silent + t] = base[c * problem.x_class + t * problem.x_step];
            copy(row + silent, row + silent);
        }
        std::memset(row, 0, silent * sizeof(Real));
        return row;
    }

    bool refused() const {
        const Real limit = LARGEST;
        Bits most;
        std::memcpy(&most, &limit, sizeof most);
        bool found = false;
        for (int i = 0; i < LANES; ++i) found |= worst[i] > most;
        return found;
    }
};

// Where the rows of the gradient go.
template <class Real>
class Sink {
    const Problem<Real>& problem;
    Workspace<Real>& work;
    Real* to;
    int64_t class_stride, step_stride, count;

    // LANES classes up to c, whose steps lie one after the other.
    void empty_tile(int64_t c) {
        const int64_t rows = c % LANES + 1;
        for (int64_t t = 0; t < count; t += LANES) {
            Vector<Real> square[LANES];
            for (int64_t i = 0; i < LANES; ++i)
                square[i] = i < rows ? load(work.sink + i * work.room + t) : all(Real(0));
            transpose<Real>(square);
            for (int64_t i = 0; i < LANES && t + i < count; ++i) {
                Real* place = to + (c - rows + 1) + (t + i) * step_stride;
                if (rows == LANES)
                    store(place, square[i]);
                else
                    std::memcpy(place, &square[i], rows * sizeof(Real));
            }
        }
    }

   public:
    Sink(const Problem<Real>& of, Workspace<Real>& with, Real* first, int64_t by_class, int64_t by_step, int64_t steps)
        : problem(of), work(with), to(first), class_stride(by_class), step_stride(by_step), count(steps) {}

    void put(int64_t c, const Real* row) {
        if (step_stride == 1) {
            std::memcpy(to + c * class_stride, row, count * sizeof(Real));
        } else if (class_stride == 1) {
            std::memcpy(work.sink + c % LANES * work.room, row, count * sizeof(Real));
            if (c % LANES == LANES - 1 || c + 1 == problem.classes) empty_tile(c);
        } else {
            for (int64_t t = 0; t < count; ++t) to[c * class_stride + t * step_stride] = row[t];
        }
    }
};

}  // namespace
