// The widest instruction set for which there are kernels and which processor and operating system support.
#include "kernel.h"

#if defined(__x86_64__) || defined(_M_X64)
namespace {

#if defined(_MSC_VER) && !defined(__clang__)

bool has(int leaf, int index, int bit) {
    int registers[4];
    __cpuidex(registers, leaf, 0);
    return (registers[index] >> bit) & 1;
}

// Whether the operating system keeps these registers (bits of XCR0) when it switches threads.
bool kept(unsigned long long registers) {
    return has(1, 2, 27) && (_xgetbv(0) & registers) == registers;
}

bool has_leaf_7() {
    int registers[4];
    __cpuid(registers, 0);
    return registers[0] >= 7;
}

bool avx2() { return has_leaf_7() && kept(0x6) && has(1, 2, 28) && has(7, 1, 5); }

bool avx512() {
    return has_leaf_7() && kept(0xe6) && has(7, 1, 16) && has(7, 1, 17) && has(7, 1, 30) && has(7, 1, 31);
}

#else

bool avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}

bool avx512() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

#endif

}  // namespace

extern "C" EXPORT const char* slayerloss_isa(void) { return avx512() ? "avx512" : avx2() ? "avx2" : "baseline"; }

#else

extern "C" EXPORT const char* slayerloss_isa(void) { return "baseline"; }

#endif
