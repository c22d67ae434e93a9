// What every kernel needs: its exported name, and the numbers of the blocks of rows that it computes.
//
// Each source is compiled once for each instruction set, with ISA = baseline, avx2 or avx512. Whatever is not exported
// stands in an anonymous namespace, and no template or inline function of the C++ library is used: the linker keeps one
// copy of those for all instruction sets, and a processor without AVX-512 could meet the wrong one.
#pragma once

#include <cstdint>

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

// KERNEL(cuba)(arguments) { ... } exports cuba_baseline, cuba_avx2 and cuba_avx512.
#define KERNEL(name) extern "C" EXPORT int32_t CONCAT(name, ISA)

namespace {

// The next block of rows that no thread has taken. All threads of one call share *next, which begins at 0.
inline int64_t take(int64_t* next) {
#if defined(_MSC_VER) && !defined(__clang__)
    return _InterlockedExchangeAdd64(reinterpret_cast<long long*>(next), 1);
#else
    return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
#endif
}

}  // namespace
