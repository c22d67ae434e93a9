// 2^x for x <= 0, lane by lane.
#pragma once

#include "lanes.h"

namespace {

// x = n + f with |f| <= 1/2. Adding 3/2 * 2^23 (2^52 in double) leaves n in the lowest bits; 2^f is a polynomial, the
// series of exp(f log 2), good to the last bits; and n is added to its exponent. What is below the smallest normal
// number comes out as that number.
template <class Real>
struct Power;

template <>
struct Power<float> {
    using Bits = int32_t;
    static constexpr float lowest = -126, shift = 12582912;
    static constexpr int exponent = 23, terms = 6;
};
template <>
struct Power<double> {
    using Bits = int64_t;
    static constexpr double lowest = -1022, shift = 6755399441055744;
    static constexpr int exponent = 52, terms = 13;
};

constexpr double LOG_2 = 0.693147180559945309417;

constexpr double coefficient(int k) { return k == 0 ? 1 : coefficient(k - 1) * LOG_2 / k; }

template <class Real, int K>
INLINE Vector<Real> horner(const Vector<Real>& f) {
    if constexpr (K == Power<Real>::terms)
        return all(Real(coefficient(K)));
    else
        return horner<Real, K + 1>(f) * f + all(Real(coefficient(K)));
}

template <class Real>
INLINE Vector<Real> power_of_two(const Vector<Real>& given) {
    using P = Power<Real>;
    const Vector<Real> x = larger<Real>(given, all(P::lowest));
    const Vector<Real> shifted = x + all(P::shift);
    const Vector<Real> fraction = x - (shifted - all(P::shift));
    const Vector<Real> value = horner<Real, 0>(fraction);
    Vector<typename P::Bits> n, bits;
    std::memcpy(&n, &shifted, sizeof n);
    std::memcpy(&bits, &value, sizeof bits);
    bits += n << all(typename P::Bits(P::exponent));
    Vector<Real> y;
    std::memcpy(&y, &bits, sizeof y);
    return y;
}

}  // namespace
