// A complex state that turns and shrinks in every step, in the chip's integers, and its adjoint with the gradients of the
// turn:
//   re[t] = cos re'[t-1] - sin im'[t-1] + x_re[t],  im[t] = sin re'[t-1] + cos im'[t-1] + x_im[t],
// where re' = 0 and im' is just below the threshold after im reached it.

#include "kernel.h"
#include "tiles.h"

namespace {

constexpr int64_t CHUNK = 256;  // steps of a tile

// What a step multiplies with, in multiples of 1/4096.
struct Turn {
    const double *sin, *cos;  // (channels)
    int64_t channels;
};

template <int64_t WIDTH>
inline void whole_state(Ints* state, const int32_t* first, int64_t rows) {
    int32_t each[WIDTH] = {};
    for (int64_t i = 0; first && i < rows; ++i) each[i] = first[i];
    for (int64_t i = 0; i < WIDTH / LANES; ++i) state[i] = load(each + i * LANES);
}

template <class Real>
struct Forward {
    Signal signal;
    Turn turn;
    const Real *x_real, *x_imag;
    Real *real, *imag;
    const int32_t *first_real, *first_imag;  // (rows), the state before the first step; null for zero
    Real lsb;                               // state LSBs per unit
    int32_t highest;                        // the largest imaginary part that does not spike

    int64_t bytes(int64_t width) const { return 2 * width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* real_tile = reinterpret_cast<Real*>(memory);
        Real* imag_tile = real_tile + CHUNK * WIDTH;
        Ints sin[WIDTH / LANES], cos[WIDTH / LANES], re[WIDTH / LANES], im[WIDTH / LANES];
        whole_keeps<WIDTH>(sin, turn.sin, turn.channels, signal, block.first, block.rows);
        whole_keeps<WIDTH>(cos, turn.cos, turn.channels, signal, block.first, block.rows);
        whole_state<WIDTH>(re, first_real ? first_real + block.first : nullptr, block.rows);
        whole_state<WIDTH>(im, first_imag ? first_imag + block.first : nullptr, block.rows);
        const Vector<Real> units = all(Real(1) / lsb);
        const Ints below = all(highest);
        Ints worst = all(0);
        for (int64_t begin = 0; begin < signal.steps; begin += CHUNK) {
            const int64_t steps = least(CHUNK, signal.steps - begin);
            block.fill(real_tile, x_real, begin, steps);
            block.fill(imag_tile, x_imag, begin, steps);
            for (int64_t t = 0; t < steps; ++t) {
                for (int64_t i = 0; i < WIDTH / LANES; ++i) {
                    Real* real_row = real_tile + t * WIDTH + i * LANES;
                    Real* imag_row = imag_tile + t * WIDTH + i * LANES;
                    const Ints to_real = whole<Real>(load(real_row), lsb, worst);
                    const Ints to_imag = whole<Real>(load(imag_row), lsb, worst);
                    const Ints turned_real = saturated(decayed(re[i], cos[i]) - decayed(im[i], sin[i]) + to_real);
                    const Ints turned_imag = saturated(decayed(re[i], sin[i]) + decayed(im[i], cos[i]) + to_imag);
                    store(real_row, convert<Real, int32_t>(turned_real) * units);
                    store(imag_row, convert<Real, int32_t>(turned_imag) * units);
                    const Ints fires = turned_imag > below;
                    re[i] = turned_real & ~fires;
                    im[i] = (turned_imag & ~fires) | (below & fires);
                }
            }
            block.empty(real_tile, real, begin, steps);
            block.empty(imag_tile, imag, begin, steps);
        }
        return out_of_range(worst) ? TOO_LARGE : 0;
    }
};

template <class Real>
struct Backward {
    Signal signal;
    Turn turn;
    const Real *grad_real, *grad_imag;
    Real *to_real, *to_imag;          // with respect to x
    Real *to_first_real, *to_first_imag;  // (rows)
    const Real *real, *imag;              // before the reset; null where the turn does not learn
    const Real *first_real, *first_imag;  // (rows); null for zero
    Real threshold;                       // from which the imaginary part was reset
    Real reset_imag;                      // what it was set to
    double *to_sin, *to_cos;              // (rows)

    int64_t bytes(int64_t width) const { return (real ? 4 : 2) * width * CHUNK * int64_t(sizeof(Real)); }

    template <int64_t WIDTH>
    struct Row {
        double sin[WIDTH], cos[WIDTH], sum_sin[WIDTH] = {}, sum_cos[WIDTH] = {};
        double re[WIDTH] = {}, im[WIDTH] = {};  // gradients of the step after

        // What the gradients of a step are to the state before it, and to the turn.
        INLINE void learn(int64_t i, Real before_re, Real before_im) {
            sum_sin[i] += im[i] * double(before_re) - re[i] * double(before_im);
            sum_cos[i] += re[i] * double(before_re) + im[i] * double(before_im);
        }
    };

    template <int64_t WIDTH>
    void learn(Row<WIDTH>& row, const Real* re, const Real* im) const {
        for (int64_t i = 0; i < WIDTH; ++i) {
            const bool fired = im[i] >= threshold;
            row.learn(i, fired ? Real(0) : re[i], fired ? reset_imag : im[i]);
        }
    }

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        Real* re_grads = reinterpret_cast<Real*>(memory);
        Real* im_grads = re_grads + CHUNK * WIDTH;
        Real* re_states = im_grads + CHUNK * WIDTH;
        Real* im_states = re_states + CHUNK * WIDTH;
        Row<WIDTH> row;
        per_row(row.sin, WIDTH, turn.sin, turn.channels, signal.inner, block.first, block.rows);
        per_row(row.cos, WIDTH, turn.cos, turn.channels, signal.inner, block.first, block.rows);
        for (int64_t number = (signal.steps - 1) / CHUNK; number >= 0; --number) {
            const int64_t begin = number * CHUNK, steps = least(CHUNK, signal.steps - begin);
            block.fill(re_grads, grad_real, begin, steps);
            block.fill(im_grads, grad_imag, begin, steps);
            if (real) {
                block.fill(re_states, real, begin, steps);
                block.fill(im_states, imag, begin, steps);
            }
            for (int64_t t = steps - 1; t >= 0; --t) {
                if (real) learn(row, re_states + t * WIDTH, im_states + t * WIDTH);
                Real *re = re_grads + t * WIDTH, *im = im_grads + t * WIDTH;
                for (int64_t i = 0; i < WIDTH; ++i) {
                    const double later_re = row.re[i], later_im = row.im[i];
                    row.re[i] = row.cos[i] * later_re + row.sin[i] * later_im + double(re[i]);
                    row.im[i] = row.cos[i] * later_im - row.sin[i] * later_re + double(im[i]);
                    re[i] = Real(row.re[i]), im[i] = Real(row.im[i]);
                }
            }
            block.empty(re_grads, to_real, begin, steps);
            block.empty(im_grads, to_imag, begin, steps);
        }
        for (int64_t i = 0; i < block.rows; ++i) {
            const int64_t at = block.first + i;
            to_first_real[at] = Real(row.cos[i] * row.re[i] + row.sin[i] * row.im[i]);
            to_first_imag[at] = Real(row.cos[i] * row.im[i] - row.sin[i] * row.re[i]);
            if (!real) continue;
            row.learn(i, first_real ? first_real[at] : Real(0), first_imag ? first_imag[at] : Real(0));
            to_sin[at] = row.sum_sin[i];
            to_cos[at] = row.sum_cos[i];
        }
        return 0;
    }
};

template <class Real>
int32_t resonator(int64_t* next, const Real* x_real, const Real* x_imag, Real* real, Real* imag, int64_t rows,
                  int64_t steps, int64_t time_first, int64_t width, int64_t inner, const double* sin, const double* cos,
                  int64_t channels, const int32_t* first_real, const int32_t* first_imag, double lsb, int32_t highest) {
    const Signal signal{rows, steps, time_first, inner};
    const Forward<Real> work{signal, {sin, cos, channels}, x_real,     x_imag,    real,
                             imag,   first_real,           first_imag, Real(lsb), highest};
    return all_blocks(work, signal, width, next);
}

template <class Real>
int32_t resonator_adjoint(int64_t* next, const Real* grad_real, const Real* grad_imag, Real* to_real, Real* to_imag,
                          int64_t rows, int64_t steps, int64_t time_first, int64_t width, int64_t inner,
                          const double* sin, const double* cos, int64_t channels, Real* to_first_real,
                          Real* to_first_imag, const Real* real, const Real* imag, const Real* first_real,
                          const Real* first_imag, double threshold, double reset_imag, double* to_sin, double* to_cos) {
    const Signal signal{rows, steps, time_first, inner};
    const Backward<Real> work{signal,        {sin, cos, channels}, grad_real, grad_imag,  to_real,
                              to_imag,       to_first_real,        to_first_imag, real,   imag,
                              first_real,    first_imag,           Real(threshold), Real(reset_imag), to_sin,
                              to_cos};
    return all_blocks(work, signal, width, next);
}

}  // namespace

KERNEL(resonator)
KERNEL(resonator_adjoint)
