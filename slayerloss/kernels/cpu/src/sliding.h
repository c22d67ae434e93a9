// Sums of windows along time, of one row whose steps are contiguous.
//
// Spans of one step make spans of 2, 4, 8, ... steps, and the window is put together from these: about log2(window)
// additions for a step. Nothing is subtracted, so that no rounding error stays behind.
#pragma once

#include "lanes.h"

namespace {

constexpr int64_t SLACK = 2 * 16;  // numbers that may be read and written behind a row, of no meaning

// From spans of `span` steps in x to spans of 4 * span, for two binary digits of the window: LOW and HIGH. `done` steps
// of the window are in `result` before, none if FIRST. LAST: no longer spans are needed.
template <class Real, bool LOW, bool HIGH, bool FIRST, bool LAST>
void two_digits(Real* x, Real* result, int64_t steps, int64_t span, int64_t done) {
    const Real* low = x + done;
    const Real* high = low + (LOW ? span : 0);
    for (int64_t t = 0; t < steps; t += LANES) {
        Vector<Real> sum, four;
        if (!FIRST) sum = load(result + t);
        if (LOW) sum = FIRST ? load(low + t) : sum + load(low + t);
        if (HIGH) {
            const Vector<Real> two = load(high + t) + load(high + t + span);
            sum = FIRST && !LOW ? two : sum + two;
        }
        if (!LAST) four = (load(x + t) + load(x + t + span)) + (load(x + t + 2 * span) + load(x + t + 3 * span));
        if (LOW || HIGH) store(result + t, sum);
        if (!LAST) store(x + t, four);
    }
}

template <class Real, bool FIRST, bool LAST>
void two_digits(bool low, bool high, Real* x, Real* result, int64_t steps, int64_t span, int64_t done) {
    if (low && high) return two_digits<Real, true, true, FIRST, LAST>(x, result, steps, span, done);
    if (low) return two_digits<Real, true, false, FIRST, LAST>(x, result, steps, span, done);
    if (high) return two_digits<Real, false, true, FIRST, LAST>(x, result, steps, span, done);
    if (!LAST) two_digits<Real, false, false, FIRST, LAST>(x, result, steps, span, done);
}

// x[t] + ... + x[t + window - 1] for t < steps, in x or in `result`: where it is, is returned. x has window - 1 + steps
// numbers and is overwritten; `result` has as much room, and behind both there is SLACK.
template <class Real>
Real* window_sums(Real* x, Real* result, int64_t steps, int64_t window) {
    if (window == 1) return x;
    int64_t done = 0;
    for (int64_t span = 1;; span *= 4) {
        const bool low = window & span, high = window & (2 * span), last = window < 4 * span;
        const int64_t left = last ? steps : steps + window - 4 * span;
        if (done == 0)
            last ? two_digits<Real, true, true>(low, high, x, result, left, span, done)
                 : two_digits<Real, true, false>(low, high, x, result, left, span, done);
        else
            last ? two_digits<Real, false, true>(low, high, x, result, left, span, done)
                 : two_digits<Real, false, false>(low, high, x, result, left, span, done);
        done += (low ? span : 0) + (high ? 2 * span : 0);
        if (last) return result;
    }
}

}  // namespace
