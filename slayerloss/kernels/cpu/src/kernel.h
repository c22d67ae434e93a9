// What every kernel needs: its exported name, and the numbers of the blocks of rows that it computes.
//
// Each source is compiled once for each instruction set, with ISA = baseline, avx2 or avx512. Whatever is not exported
// stands in an anonymous namespace, and no function of the C++ library is used that would be compiled here: the linker
// keeps one copy of those for all instruction sets, and a processor without AVX-512 could meet the wrong one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define CONCAT_EXPANDED(name, isa) name##_##isa
#define CONCAT(name, isa) CONCAT_EXPANDED(name, isa)

// KERNEL(cuba) exports cuba<float> and cuba<double>: cuba_float_avx2 and the like, all of type void (Call*).
#define KERNEL(name) KERNEL_OF(name, float) KERNEL_OF(name, double)
#define KERNEL_OF(name, Real) \
    extern "C" EXPORT void CONCAT(name##_##Real, ISA)(Call * call) { add_found(call, unpacked(name<Real>, call)); }

namespace {

// One call of a kernel, as Python packs it and all its threads share it.
struct Call {
    const int64_t* arguments;  // eight bytes for each: an integer, an address, or the bits of a double
    int64_t next;              // the first block of rows that no thread has taken
    int32_t found;             // what the threads found wrong, or-ed
};

// The next block of rows that no thread has taken.
inline int64_t take(int64_t* next) {
#if defined(_MSC_VER) && !defined(__clang__)
    return _InterlockedExchangeAdd64(reinterpret_cast<long long*>(next), 1);
#else
    return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
#endif
}

inline void add_found(Call* call, int32_t found) {
#if defined(_MSC_VER) && !defined(__clang__)
    _InterlockedOr(reinterpret_cast<long*>(&call->found), found);
#else
    __atomic_fetch_or(&call->found, found, __ATOMIC_RELAXED);
#endif
}

// An argument becomes what the kernel wants of it.
struct Packed {
    int64_t bits;
    operator int64_t() const { return bits; }
    operator int32_t() const { return int32_t(bits); }
    operator double() const {
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    template <class Value>
    operator Value*() const {
        return reinterpret_cast<Value*>(bits);
    }
};

template <class... Values, size_t... Places>
inline int32_t unpacked(int32_t (*kernel)(int64_t*, Values...), Call* call, std::index_sequence<Places...>) {
    return kernel(&call->next, static_cast<Values>(Packed{call->arguments[Places]})...);
}

// Calls `kernel(&call->next, arguments...)`.
template <class... Values>
inline int32_t unpacked(int32_t (*kernel)(int64_t*, Values...), Call* call) {
    return unpacked(kernel, call, std::index_sequence_for<Values...>());
}

}  // namespace
