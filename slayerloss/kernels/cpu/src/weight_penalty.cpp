// Elementwise penalties of a tensor: their sums, in double, and the gradient of a weighted sum of them. All terms go
// through a chunk of the tensor while it is in the nearest cache, so that memory is passed once.
#include "exponential.h"
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t BLOCK = 1 << 15;  // elements that a thread takes; as in weight_penalty.py
constexpr int64_t CHUNK = 1 << 11;  // elements that all terms go through before the next ones
constexpr int64_t GROUP = 32;       // sums side by side, whatever the lanes: all instruction sets add in the same order

// As in weight_penalty.py.
constexpr double EXPONENT_LIMIT = 32, LARGEST_EXCESS = 1e14;
enum Kind : int64_t { MAGNITUDE, SQUARE, AGREEMENT, CONFLICT, SQUARED_EXCESS, EXPM1_EXCESS, EXP_EXCESS };

// Each term has a value and a slope, of an element x and the sign s in {-1, 0, 1} that it is compared with.

template <class Real>
struct Magnitude {
    INLINE double value(Real x, Real) const { return x < 0 ? -x : x; }
    INLINE Real slope(Real x, Real) const { return Real((x > 0) - (x < 0)); }
};

template <class Real>
struct Square {
    INLINE double value(Real x, Real) const { return double(x) * double(x); }
    INLINE Real slope(Real x, Real) const { return x + x; }
};

template <class Real>
struct Agreement {  // x s
    INLINE double value(Real x, Real s) const { return x * s; }
    INLINE Real slope(Real, Real s) const { return s; }
};

template <class Real>
struct Conflict {  // max(0, -x s)
    INLINE double value(Real x, Real s) const { return x * s >= 0 ? Real(0) : -(x * s); }
    INLINE Real slope(Real x, Real s) const { return x * s < 0 ? -s : Real(0); }
};

// How far x is outside of its bounds, in units of a scale; negative below.
template <class Real>
struct Excess {
    Real lower, upper;
    double per_scale;

    INLINE double of(Real x) const {
        const Real raised = x < lower ? lower : x, clipped = raised > upper ? upper : raised;
        return double(x - clipped) * per_scale;
    }
    INLINE double size(Real x) const {
        const double excess = of(x), size = excess < 0 ? -excess : excess;
        return size > LARGEST_EXCESS ? LARGEST_EXCESS : size;
    }
    // Of a function of the size that has the slope `of_size`; beyond the largest excess nothing grows.
    INLINE Real slope(Real x, double of_size) const {
        const double excess = of(x), up = excess > 0 ? of_size : 0, down = excess < 0 ? of_size : 0;
        const double grows = size(x) < LARGEST_EXCESS ? per_scale : 0;
        return Real((up - down) * grows);
    }
};

template <class Real>
struct SquaredExcess {
    Excess<Real> excess;
    INLINE double value(Real x, Real) const { return excess.size(x) * excess.size(x); }
    INLINE Real slope(Real x, Real) const { return excess.slope(x, 2 * excess.size(x)); }
};

// exp(excess) - 1, from EXPONENT_LIMIT on as a straight line.
template <class Real>
struct Expm1Excess {
    Excess<Real> excess;
    INLINE double near(double size) const { return size > EXPONENT_LIMIT ? EXPONENT_LIMIT : size; }
    INLINE double value(Real x, Real) const {
        const double size = excess.size(x), risen = exponential_minus_one(near(size));
        return risen + (risen + 1) * (size - near(size));
    }
    INLINE Real slope(Real x, Real) const {
        return excess.slope(x, exponential_minus_one(near(excess.size(x))) + 1);
    }
};

// One more for each x outside.
template <class Real>
struct ExpExcess : Expm1Excess<Real> {
    INLINE double value(Real x, Real s) const {
        return Expm1Excess<Real>::value(x, s) + (this->excess.of(x) != 0 ? 1.0 : 0.0);
    }
};

// What Python packs: a kind and three numbers for each term.
struct Terms {
    const int64_t* kinds;
    const double* numbers;  // (count, 3): lower, upper, 1 / scale
    int64_t count;

    template <class Real>
    Excess<Real> excess(int64_t k) const {
        return {Real(numbers[3 * k]), Real(numbers[3 * k + 1]), numbers[3 * k + 2]};
    }
};

// Elements of the tensor, and the signs that they are compared with.
template <class Real>
struct Elements {
    const Real *x, *signs;
    int64_t size;

    bool within(Real lower, Real upper) const {
        int32_t outside = 0;
        for (int64_t i = 0; i < size; ++i) outside |= int32_t(!(x[i] >= lower)) | int32_t(!(x[i] <= upper));
        return !outside;
    }

    // work(term) for term k; 0 where it would add nothing.
    template <class Work>
    double with_term(const Terms& terms, int64_t k, const Work& work) const {
        switch (terms.kinds[k]) {
            case MAGNITUDE: return work(Magnitude<Real>{});
            case SQUARE: return work(Square<Real>{});
            case AGREEMENT: return work(Agreement<Real>{});
            case CONFLICT: return work(Conflict<Real>{});
        }
        const Excess<Real> excess = terms.excess<Real>(k);
        if (within(excess.lower, excess.upper)) return 0;
        switch (terms.kinds[k]) {
            case SQUARED_EXCESS: return work(SquaredExcess<Real>{excess});
            case EXPM1_EXCESS: return work(Expm1Excess<Real>{excess});
            default: return work(ExpExcess<Real>{{excess}});
        }
    }

    template <class Term>
    double sum(const Term& term) const {
        double sums[GROUP] = {};
        int64_t i = 0;
        for (; i + GROUP <= size; i += GROUP)
            for (int64_t j = 0; j < GROUP; ++j) sums[j] += term.value(x[i + j], signs[i + j]);
        for (int64_t j = 0; i + j < size; ++j) sums[j] += term.value(x[i + j], signs[i + j]);
        for (int64_t half = GROUP / 2; half; half /= 2)
            for (int64_t j = 0; j < half; ++j) sums[j] += sums[j + half];
        return sums[0];
    }

    template <class Term>
    void add_slope(Real* __restrict grad, Real factor, const Term& term) const {
        for (int64_t i = 0; i < size; ++i) grad[i] += factor * term.slope(x[i], signs[i]);
    }
};

// What the tensor is compared with: bytes, or numbers; null where there is nothing.
struct Reference {
    const void* values;
    int64_t bytes;

    template <class Real>
    void signs(Real* to, int64_t first, int64_t size) const {
        if (values && bytes) signs_of(to, static_cast<const int8_t*>(values) + first, size);
        if (values && !bytes) signs_of(to, static_cast<const Real*>(values) + first, size);
    }
    template <class Real, class Value>
    static void signs_of(Real* __restrict to, const Value* from, int64_t size) {
        for (int64_t i = 0; i < size; ++i) to[i] = Real((from[i] > 0) - (from[i] < 0));
    }
};

// Calls work(elements, first, block) for the chunks of all blocks that no other thread takes.
template <class Real, class Work>
inline void all_chunks(int64_t* next, const Real* x, int64_t size, const Reference& reference, const Work& work) {
    Real signs[CHUNK] = {};
    for (int64_t block; (block = take(next)) * BLOCK < size;) {
        const int64_t end = least(size, (block + 1) * BLOCK);
        for (int64_t first = block * BLOCK; first < end; first += CHUNK) {
            const Elements<Real> elements{x + first, signs, least(CHUNK, end - first)};
            reference.signs(signs, first, elements.size);
            work(elements, first, block);
        }
    }
}

template <class Real>
int32_t weight_penalty(int64_t* next, const Real* x, int64_t size, const void* reference, int64_t bytes,
                       const int64_t* kinds, const double* numbers, int64_t count, double* sums) {  // (blocks, count)
    const Terms terms{kinds, numbers, count};
    all_chunks(next, x, size, {reference, bytes}, [&](const Elements<Real>& elements, int64_t, int64_t block) {
        for (int64_t k = 0; k < count; ++k)
            sums[block * count + k] +=
                elements.with_term(terms, k, [&](const auto& term) { return elements.sum(term); });
    });
    return 0;
}

template <class Real>
int32_t weight_penalty_gradient(int64_t* next, const Real* x, int64_t size, const void* reference, int64_t bytes,
                                const int64_t* kinds, const double* numbers, int64_t count, const double* factors,
                                Real* grad) {
    const Terms terms{kinds, numbers, count};
    all_chunks(next, x, size, {reference, bytes}, [&](const Elements<Real>& elements, int64_t first, int64_t) {
        std::memset(grad + first, 0, elements.size * sizeof(Real));
        for (int64_t k = 0; k < count; ++k)
            elements.with_term(terms, k, [&](const auto& term) {
                elements.add_slope(grad + first, Real(factors[k]), term);
                return 0.0;
            });
    });
    return 0;
}

}  // namespace

KERNEL(weight_penalty)
KERNEL(weight_penalty_gradient)
