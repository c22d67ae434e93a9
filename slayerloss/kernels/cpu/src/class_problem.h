// What the losses over classes are asked, and the memory in which a thread answers.
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

}  // namespace
