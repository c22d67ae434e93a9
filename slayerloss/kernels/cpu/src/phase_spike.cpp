// Spikes where an imaginary part comes up through zero while the real part is at the threshold or above, and the
// gradients that an exponential surrogate gives both parts.

#include "exponential.h"
#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t SPAN = 1 << 14;  // elements of a block
constexpr int64_t GROUP = 64;      // elements that are computed at a time

template <class Real>
INLINE void spikes_of(const Real* real, const Real* imag, const Real* before, Real* y, int64_t size, Real threshold,
                      bool graded) {
    for (int64_t i = 0; i < size; ++i) {
        const bool fires = (real[i] >= threshold) & (imag[i] >= 0) & (before[i] < 0);
        y[i] = fires ? (graded ? real[i] : Real(1)) : Real(0);
    }
}

// A line of memory is a step of all rows where time is first, and else a row. `before` (rows) is null for zero.
template <class Real>
int32_t phase_spike(int64_t* next, const Real* real, const Real* imag, const Real* before, Real* y, int64_t rows,
                    int64_t steps, int64_t time_first, double threshold, int32_t graded) {
    const int64_t length = time_first ? rows : steps, lines = time_first ? steps : rows;
    const int64_t share = SPAN > length ? SPAN / length : 1;
    const Real limit = Real(threshold);
    for (int64_t first; (first = take(next) * share) < lines;) {
        for (int64_t line = first; line < first + share && line < lines; ++line) {
            const int64_t at = line * length;
            if (time_first && line > 0) {
                spikes_of(real + at, imag + at, imag + at - rows, y + at, length, limit, graded);
            } else if (time_first) {
                std::memset(y, 0, size_t(length) * sizeof(Real));
                if (before) spikes_of(real, imag, before, y, length, limit, graded);
            } else {
                const Real zero = 0;
                spikes_of(real + at, imag + at, before ? before + line : &zero, y + at, 1, limit, graded);
                spikes_of(real + at + 1, imag + at + 1, imag + at, y + at + 1, length - 1, limit, graded);
            }
        }
    }
    return 0;
}

template <class Real>
INLINE Real sign(Real x) {
    return Real((x > 0) - (x < 0));
}

template <class Real>
struct Surrogate {
    Real threshold, tau, scale;
    bool graded;

    INLINE void exponentials(Real* x) const {
        for (int64_t i = 0; i < GROUP; i += LANES) store(x + i, power_of_two<Real>(load(x + i)));
    }

    // Of up to GROUP elements.
    INLINE void gradients(const Real* grad, const Real* real, const Real* imag, Real* to_real, Real* to_imag,
                          int64_t size) const {
        alignas(64) Real near_real[GROUP] = {}, near_imag[GROUP] = {};
        const Real steep = Real(-1 / LOG_2) / tau, half = Real(1) / (2 * tau);
        for (int64_t i = 0; i < size; ++i) {
            const Real distance = real[i] - threshold, away = imag[i];
            near_real[i] = (distance < 0 ? -distance : graded ? Real(0) : distance) * steep;
            near_imag[i] = (away < 0 ? -away : away) * steep;
        }
        exponentials(near_real);
        exponentials(near_imag);
        for (int64_t i = 0; i < size; ++i) {
            const Real of_real = graded ? near_real[i] : near_real[i] * half, of_imag = near_imag[i] * (scale * half);
            const Real step = (1 + sign(real[i] - threshold) * (1 - 2 * tau * of_real)) / 2;
            to_real[i] = of_real * of_imag * grad[i];
            to_imag[i] = -sign(imag[i]) * of_imag * step / tau * grad[i];
        }
    }
};

template <class Real>
int32_t phase_spike_adjoint(int64_t* next, const Real* grad, const Real* real, const Real* imag, Real* to_real,
                            Real* to_imag, int64_t elements, double threshold, double tau, double scale,
                            int32_t graded) {
    const Surrogate<Real> surrogate{Real(threshold), Real(tau), Real(scale), graded != 0};
    for (int64_t first; (first = take(next) * SPAN) < elements;)
        for (int64_t at = first; at < least(first + SPAN, elements); at += GROUP)
            surrogate.gradients(grad + at, real + at, imag + at, to_real + at, to_imag + at, least(GROUP, elements - at));
    return 0;
}

}  // namespace

KERNEL(phase_spike)
KERNEL(phase_spike_adjoint)
