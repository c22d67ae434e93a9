// The squared distance of low-pass filtered spike trains, and its gradient.
//
// y[t] = decay y[t-1] + e[t] - cut e[t-length], where e is the difference of the trains and cut = decay^length. Forward
// keeps y at the beginning of each chunk of steps; backward computes the others again, and filters them backward in
// time. The filters run in double.

#include "kernel.h"
#include "tiles.h"

namespace {

template <class Real>
struct SpikeTime {
    Signal signal;
    const Real* spikes;
    const Real* targets;
    int64_t chunk;  // steps
    double decay, cut;
    int64_t length;  // steps after which the filter is cut; 0: never
    const int64_t* lengths;
    int64_t sample;       // rows of one
    double* checkpoints;  // (chunks - 1, rows)

    int64_t bytes(int64_t width) const { return 3 * width * (chunk + length) * int64_t(sizeof(Real)); }

    struct Tiles {
        Real* error;  // with the `length` steps before a chunk
        Real* other;
        Real* y;  // with the `length` steps after it
    };

    template <int64_t WIDTH>
    Tiles tiles(char* memory) const {
        Real* error = reinterpret_cast<Real*>(memory);
        return {error, error + (chunk + length) * WIDTH, error + 2 * (chunk + length) * WIDTH};
    }

    // y before chunk `number`, which is not the first.
    template <int64_t WIDTH>
    double* checkpoint(const Block<WIDTH>& block, int64_t number) const {
        return checkpoints + (number - 1) * signal.rows + block.first;
    }

    // Of `length` steps before `begin` and `steps` after it.
    template <int64_t WIDTH>
    void differences(const Block<WIDTH>& block, const Tiles& tiles, int64_t begin, int64_t steps,
                     int32_t* worst) const {
        Real* error = tiles.error;
        const int64_t before = least(length, begin), count = before + steps;
        for (int64_t i = 0; i < (length - before) * WIDTH; ++i) error[i] = 0;
        error += (length - before) * WIDTH;
        block.fill(error, spikes, begin - before, count);
        block.fill(tiles.other, targets, begin - before, count);
        int32_t largest[WIDTH];
        std::memcpy(largest, worst, sizeof largest);
        for (int64_t t = 0; t < count; ++t) {
            Real* a = error + t * WIDTH;
            const Real* b = tiles.other + t * WIDTH;
            for (int64_t i = 0; i < WIDTH; ++i) {
                const int32_t one = magnitude(float(a[i])), two = magnitude(float(b[i]));
                const int32_t size = one > two ? one : two;
                largest[i] = largest[i] > size ? largest[i] : size;
                a[i] -= b[i];
            }
        }
        std::memcpy(worst, largest, sizeof largest);
    }

    template <int64_t WIDTH>
    void filter(const Real* error, Real* y, int64_t steps, double* state) const {
        double now[WIDTH];
        std::memcpy(now, state, sizeof now);
        if (length) {
            for (int64_t t = 0; t < steps; ++t) {
                const Real* in = error + (t + length) * WIDTH;
                const Real* out = error + t * WIDTH;
                for (int64_t i = 0; i < WIDTH; ++i)
                    now[i] = decay * now[i] + (double(in[i]) - cut * double(out[i]));
                for (int64_t i = 0; i < WIDTH; ++i) y[t * WIDTH + i] = Real(now[i]);
            }
        } else {
            for (int64_t t = 0; t < steps; ++t) {
                for (int64_t i = 0; i < WIDTH; ++i) now[i] = decay * now[i] + double(error[t * WIDTH + i]);
                for (int64_t i = 0; i < WIDTH; ++i) y[t * WIDTH + i] = Real(now[i]);
            }
        }
        std::memcpy(state, now, sizeof now);
    }
};

template <class Real>
struct Forward : SpikeTime<Real> {
    int32_t largest;  // bits of it
    double* losses;   // (rows)

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        const auto tiles = this->template tiles<WIDTH>(memory);
        double state[WIDTH] = {}, sum[WIDTH] = {};
        int32_t worst[WIDTH] = {};
        for (int64_t begin = 0; begin < this->signal.steps; begin += this->chunk) {
            const int64_t steps = least(this->chunk, this->signal.steps - begin);
            this->differences(block, tiles, begin, steps, worst);
            this->template filter<WIDTH>(tiles.error, tiles.y, steps, state);
            block.mask(tiles.y, this->lengths, this->sample, begin, steps);
            for (int64_t t = 0; t < steps; ++t)
                for (int64_t i = 0; i < WIDTH; ++i) {
                    const double y = tiles.y[t * WIDTH + i];
                    sum[i] += y * y;
                }
            if (begin + steps < this->signal.steps)
                std::memcpy(this->checkpoint(block, begin / this->chunk + 1), state, block.rows * sizeof(double));
        }
        std::memcpy(losses + block.first, sum, block.rows * sizeof(double));
        return above<WIDTH>(worst, largest) ? TOO_LARGE : 0;
    }
};

template <class Real>
struct Backward : SpikeTime<Real> {
    const Real* grad;  // (samples), of the sums of squares
    Real* grad_spikes;

    template <int64_t WIDTH>
    int32_t block(const Block<WIDTH>& block, char* memory) const {
        const auto tiles = this->template tiles<WIDTH>(memory);
        const int64_t chunk = this->chunk, length = this->length;
        const double decay = this->decay, cut = this->cut;
        double scale[WIDTH] = {}, later[WIDTH] = {};
        int32_t worst[WIDTH] = {};
        for (int64_t i = 0; i < block.rows; ++i) scale[i] = 2 * double(grad[(block.first + i) / this->sample]);
        Real* y = tiles.y;
        for (int64_t i = 0; i < length * WIDTH; ++i) y[i] = 0;
        for (int64_t number = (this->signal.steps - 1) / chunk; number >= 0; --number) {
            const int64_t begin = number * chunk, steps = least(chunk, this->signal.steps - begin);
            double state[WIDTH] = {};
            if (number) std::memcpy(state, this->checkpoint(block, number), block.rows * sizeof(double));
            // The first steps of y in the chunk after this one are the last ones that are seen from here.
            std::memmove(y + steps * WIDTH, y, length * WIDTH * sizeof(Real));
            this->differences(block, tiles, begin, steps, worst);
            this->template filter<WIDTH>(tiles.error, y, steps, state);
            block.mask(y, this->lengths, this->sample, begin, steps);
            Real* out = tiles.error;
            double now[WIDTH];
            std::memcpy(now, later, sizeof now);
            for (int64_t t = steps - 1; t >= 0; --t) {
                const Real* in = y + t * WIDTH;
                const Real* end = y + (t + length) * WIDTH;
                if (length)
                    for (int64_t i = 0; i < WIDTH; ++i)
                        now[i] = decay * now[i] + (double(in[i]) - cut * double(end[i]));
                else
                    for (int64_t i = 0; i < WIDTH; ++i) now[i] = decay * now[i] + double(in[i]);
                for (int64_t i = 0; i < WIDTH; ++i) out[t * WIDTH + i] = Real(scale[i] * now[i]);
            }
            std::memcpy(later, now, sizeof now);
            block.empty(out, grad_spikes, begin, steps);
        }
        return 0;
    }
};

template <class Real>
int32_t spike_time(int64_t* next, const Real* spikes, const Real* targets, int64_t rows, int64_t steps,
                   int64_t time_first, int64_t width, int64_t chunk, double decay, double cut, int64_t length,
                   const int64_t* lengths, int64_t sample, double* checkpoints, double largest, double* losses) {
    const Signal signal{rows, steps, time_first, 1};
    const SpikeTime<Real> common{signal, spikes, targets, chunk, decay, cut, length, lengths, sample, checkpoints};
    return all_blocks(Forward<Real>{common, magnitude(float(largest)), losses}, signal, width, next);
}

template <class Real>
int32_t spike_time_backward(int64_t* next, const Real* spikes, const Real* targets, int64_t rows, int64_t steps,
                            int64_t time_first, int64_t width, int64_t chunk, double decay, double cut, int64_t length,
                            const int64_t* lengths, int64_t sample, double* checkpoints, const Real* grad,
                            Real* grad_spikes) {
    const Signal signal{rows, steps, time_first, 1};
    const SpikeTime<Real> common{signal, spikes, targets, chunk, decay, cut, length, lengths, sample, checkpoints};
    return all_blocks(Backward<Real>{common, grad, grad_spikes}, signal, width, next);
}

}  // namespace

KERNEL(spike_time)
KERNEL(spike_time_backward)
