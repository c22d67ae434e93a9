// The steps of a block of a loss over classes, with their labels and weights.
#pragma once

#include "class_problem.h"

namespace {

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

}  // namespace
