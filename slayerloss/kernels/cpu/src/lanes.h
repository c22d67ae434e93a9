// As many numbers at a time as one register holds in float32. GCC and Clang bring vector types for every processor;
// elsewhere a plain array stands in.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
#define LANE_COUNT 16
#elif defined(__AVX__)
#define LANE_COUNT 8
#else
#define LANE_COUNT 4
#endif
constexpr int LANES = LANE_COUNT;

#if defined(__GNUC__) && !defined(PLAIN_LANES)  // which a test defines, to see what other compilers get
#define VECTOR_TYPES
#endif

#ifdef VECTOR_TYPES

#pragma GCC diagnostic ignored "-Wpsabi"  // no vector crosses the library's edge
#define INLINE inline __attribute__((always_inline))

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(LANES * sizeof(T))));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
struct InMemory {
    typedef T type __attribute__((vector_size(LANES * sizeof(T)), aligned(alignof(T)), may_alias));
};

template <class T>
INLINE Vector<T> load(const T* from) {
    return *reinterpret_cast<const typename InMemory<T>::type*>(from);
}

template <class T>
INLINE void store(T* to, const Vector<T>& x) {
    *reinterpret_cast<typename InMemory<T>::type*>(to) = x;
}

template <class To, class From>
INLINE Vector<To> convert(const Vector<From>& x) {
    return __builtin_convertvector(x, Vector<To>);
}

// The same bits, of another type of the same size.
template <class To, class From>
INLINE Vector<To> bits_as(const Vector<From>& x) {
    return (Vector<To>)x;
}

#else

#define INLINE inline

template <class T>
struct Vector {
    T lane[LANES];
    T& operator[](int i) { return lane[i]; }
    const T& operator[](int i) const { return lane[i]; }
};

#define EACH_LANE for (int i = 0; i < LANES; ++i)
#define BINARY(op)                                                                    \
    template <class T>                                                                \
    INLINE Vector<T> operator op(const Vector<T>& a, const Vector<T>& b) {            \
        Vector<T> y;                                                                  \
        EACH_LANE y[i] = static_cast<T>(a[i] op b[i]);                                \
        return y;                                                                     \
    }                                                                                 \
    template <class T>                                                                \
    INLINE Vector<T> operator op(const Vector<T>& a, T b) {                           \
        Vector<T> y;                                                                  \
        EACH_LANE y[i] = static_cast<T>(a[i] op b);                                   \
        return y;                                                                     \
    }                                                                                 \
    template <class T>                                                                \
    INLINE Vector<T>& operator op##=(Vector<T>& a, const Vector<T>& b) {              \
        return a = a op b;                                                            \
    }
BINARY(+)
BINARY(-)
BINARY(*)
BINARY(/)
BINARY(&)
BINARY(|)
BINARY(^)
BINARY(>>)
BINARY(<<)
#define COMPARISON(op)                                                                \
    INLINE Vector<int32_t> operator op(const Vector<int32_t>& a, const Vector<int32_t>& b) { \
        Vector<int32_t> y;                                                            \
        EACH_LANE y[i] = -static_cast<int32_t>(a[i] op b[i]);                         \
        return y;                                                                     \
    }
COMPARISON(>)
COMPARISON(<)
template <class T>
INLINE Vector<T> operator~(const Vector<T>& a) {
    Vector<T> y;
    EACH_LANE y[i] = ~a[i];
    return y;
}
template <class To, class From>
INLINE Vector<To> convert(const Vector<From>& x) {
    Vector<To> y;
    EACH_LANE y[i] = static_cast<To>(x[i]);
    return y;
}

template <class To, class From>
INLINE Vector<To> bits_as(const Vector<From>& x) {
    Vector<To> y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

template <class T>
INLINE Vector<T> load(const T* from) {
    Vector<T> x;
    std::memcpy(&x, from, sizeof x);
    return x;
}

template <class T>
INLINE void store(T* to, const Vector<T>& x) {
    std::memcpy(to, &x, sizeof x);
}

#endif

using Ints = Vector<int32_t>;

template <class T>
INLINE Vector<T> all(T value) {
#ifdef VECTOR_TYPES
    return value - Vector<T>{};  // one instruction, which a loop over the lanes is not
#else
    Vector<T> x;
    EACH_LANE x[i] = value;
    return x;
#endif
}

// Bring a cache line near that will be needed soon; processors foresee steps through memory, but not from page to page.
INLINE void prefetch(const void* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address);
#else
    (void)address;
#endif
}

// Of two numbers, lane by lane.
template <class T>
INLINE Vector<T> smaller(const Vector<T>& a, const Vector<T>& b) {
#ifdef VECTOR_TYPES
    return a < b ? a : b;
#else
    Vector<T> y;
    EACH_LANE y[i] = a[i] < b[i] ? a[i] : b[i];
    return y;
#endif
}
template <class T>
INLINE Vector<T> larger(const Vector<T>& a, const Vector<T>& b) {
#ifdef VECTOR_TYPES
    return a > b ? a : b;
#else
    Vector<T> y;
    EACH_LANE y[i] = a[i] > b[i] ? a[i] : b[i];
    return y;
#endif
}

// a >= b ? x : y, lane by lane.
template <class T>
INLINE Vector<T> where_at_least(const Vector<T>& a, const Vector<T>& b, const Vector<T>& x, const Vector<T>& y) {
#ifdef VECTOR_TYPES
    return a >= b ? x : y;
#else
    Vector<T> z;
    EACH_LANE z[i] = a[i] >= b[i] ? x[i] : y[i];
    return z;
#endif
}
template <class T>
INLINE Vector<T> size_of(const Vector<T>& x) {
    return larger<T>(x, all(T(0)) - x);
}

}  // namespace
