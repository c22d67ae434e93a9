// The rows of the classes of a block: their spikes, and where their gradients go.
#pragma once

#include "class_problem.h"

namespace {

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
