// 2^x for x <= 0 and natural logarithms, lane by lane; exp(x) - 1 for x >= 0.
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
    static constexpr int exponent = 23, terms = 6, log_terms = 5, log1p_terms = 9;
    static constexpr Bits root = 0x3f3504f3;  // the bits of the root of 1/2
};
template <>
struct Power<double> {
    using Bits = int64_t;
    static constexpr double lowest = -1022, shift = 6755399441055744;
    static constexpr int exponent = 52, terms = 13, log_terms = 12, log1p_terms = 18;
    static constexpr Bits root = 0x3fe6a09e667f3bcd;
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
    const auto n = bits_as<typename P::Bits, Real>(shifted), bits = bits_as<typename P::Bits, Real>(value);
    return bits_as<Real, typename P::Bits>(bits + (n << all(typename P::Bits(P::exponent))));
}

// The polynomial of 2^f - 1 over f.
template <int K = 1>
INLINE double risen(double f) {
    constexpr double factor = coefficient(K);
    if constexpr (K == Power<double>::terms)
        return factor;
    else
        return risen<K + 1>(f) * f + factor;
}

// exp(x) - 1 for x in [0, 700], which loses nothing where it is small: 2^n 2^f - 1 = 2^n (2^f - 1) + (2^n - 1).
INLINE double exponential_minus_one(double given) {
    using P = Power<double>;
    const double x = given * (1 / LOG_2), shifted = x + P::shift, f = x - (shifted - P::shift), one = 1;
    uint64_t n, bits;
    std::memcpy(&n, &shifted, sizeof n);
    std::memcpy(&bits, &one, sizeof bits);
    bits += n << P::exponent;
    double power;
    std::memcpy(&power, &bits, sizeof power);
    return power * (risen(f) * f) + (power - one);
}

// The first TERMS terms of 2 artanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...).
template <class Real, int TERMS, int K = 0>
INLINE Vector<Real> odd_series(const Vector<Real>& square) {
    if constexpr (K + 1 == TERMS)
        return all(Real(2.0 / (2 * K + 1)));
    else
        return odd_series<Real, TERMS, K + 1>(square) * square + all(Real(2.0 / (2 * K + 1)));
}

// The logarithm of a normal number x > 0: x = 2^n m with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh((m-1)/(m+1)).
template <class Real>
INLINE Vector<Real> logarithm(const Vector<Real>& x) {
    using P = Power<Real>;
    using Bits = typename P::Bits;
    Vector<Bits> bits;
    std::memcpy(&bits, &x, sizeof bits);
    const Vector<Bits> n = (bits - all(P::root)) >> all(Bits(P::exponent));
    bits = bits - (n << all(Bits(P::exponent)));
    Vector<Real> m;
    std::memcpy(&m, &bits, sizeof m);
    const Vector<Real> s = (m - all(Real(1))) / (m + all(Real(1)));
    return s * odd_series<Real, P::log_terms>(s * s) + convert<Real, Bits>(n) * all(Real(LOG_2));
}

// log(1 + x) for x in [0, 1].
template <class Real>
INLINE Vector<Real> logarithm_above_one(const Vector<Real>& x) {
    const Vector<Real> s = x / (x + all(Real(2)));
    return s * odd_series<Real, Power<Real>::log1p_terms>(s * s);
}

}  // namespace
