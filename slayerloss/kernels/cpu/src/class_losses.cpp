// SpikeMax, SpikeRate and SpikeMoid over moving windows: the loss of every step from the spikes, and the gradient by
// the spikes from that of the losses.
//
// Lanes are steps. A block is a chunk of the steps of a sample; its classes pass through a row of memory in the cache,
// where their windows are summed, so that rates never stand in memory. Backward computes them again.

#include "class_rows.h"
#include "class_steps.h"

namespace {

template <class Real>
struct Forward {
    const Problem<Real>& problem;
    Real* terms;   // (N, T), or null
    double* sums;  // (blocks, 2), of the losses and of what they count as
    int64_t* done;  // blocks; 0
    Real *loss, *count;  // of all blocks
    Real* saved;   // (2, N, T) for the gradient, or null

    // What a loss of the kind needs of all classes, added up in `sum`, `peak` and `picked` while they pass.
    template <int KIND>
    int32_t block(int64_t number, Workspace<Real>& work) const {
        const int64_t window = problem.reach();
        Steps<Real> steps(problem, work, number);
        int32_t status = steps.prepare(0);
        Rows<Real> rows(problem, work, steps.sample, steps.first - (window - 1), steps.count + window - 1);
        const int64_t length = steps.count + (KIND == PROBABILITY ? window - 1 : 0);
        steps.each(length, [&](int64_t t) { store(work.sum + t, all(Real(0))); });
        steps.each(steps.count, [&](int64_t t) {
            store(work.other + t, all(Real(0)));
            store(work.picked + t, all(Real(0)));
            store(work.wanted + t, all(KIND == RATES ? Real(problem.low) : Real(0)));
        });
        for (int64_t c = 0; c < problem.classes; ++c) {
            Real* row = rows.get(c);
            if (KIND == PROBABILITY) {
                steps.each(length, [&](int64_t t) { store(work.sum + t, load(work.sum + t) + load(row + t)); });
                steps.pick(c, row, window);
                continue;
            }
            const Real* count = window_sums(row, work.result, steps.count, window);
            if (KIND == SOFTMAX) softmax(c, count, steps, work);
            if (KIND == RATES) rates(c, count, steps, work);
            if (KIND == SIGMOID) status |= sigmoid(c, count, steps, work);
        }
        if (rows.refused()) status |= REFUSED;
        if (KIND == PROBABILITY) finish_probability(window_sums(work.sum, work.result, steps.count, window), steps, work);
        if (KIND == SOFTMAX) finish_softmax(steps, work);
        write<KIND>(number, steps, work);
        return status;
    }

    // The peak of the counts so far, and the sum of exp((count - peak) / temperature): one exponential for each class.
    void softmax(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        const Real unit = Real(1 / (LOG_2 * problem.temperature));
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> now = load(count + t);
            if (c == 0) {
                store(work.peak + t, now);
                store(work.sum + t, all(Real(1)));
                return;
            }
            const Vector<Real> peak = load(work.peak + t), sum = load(work.sum + t), above = now - peak;
            const Vector<Real> part = power_of_two<Real>(smaller<Real>(above, peak - now) * load(work.scale + t) * all(unit));
            store(work.sum + t, where_above<Real>(above, sum * part + all(Real(1)), sum + part));
            store(work.peak + t, larger<Real>(peak, now));
        });
        if (problem.smoothing > 0) {
            const Real weight = problem.class_weight(c);
            steps.each(steps.count, [&](int64_t t) {
                store(work.other + t, load(work.other + t) + load(count + t) * all(weight));
            });
        }
        steps.set(c, work.picked, count);
    }

    void rates(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        steps.set(c, work.wanted, Real(problem.high));
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> distance = load(count + t) * load(work.scale + t) - load(work.wanted + t);
            store(work.sum + t, load(work.sum + t) + distance * distance);
        });
        steps.set(c, work.wanted, Real(problem.low));
    }

    int32_t sigmoid(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        const int32_t status = steps.targets(c);
        const Vector<Real> weight = all(problem.class_weight(c)), zero = all(Real(0));
        const Vector<Real> middle = all(Real(problem.low)), slope = all(Real(1 / problem.temperature));
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> logit = (load(count + t) * load(work.scale + t) - middle) * slope;
            const Vector<Real> counted = weight * load(work.mask + t);
            const Vector<Real> part = power_of_two<Real>(smaller<Real>(logit, zero - logit) * all(Real(1 / LOG_2)));
            const Vector<Real> loss =
                larger<Real>(logit, zero) - logit * load(work.wanted + t) + logarithm_above_one<Real>(part);
            store(work.sum + t, load(work.sum + t) + loss * counted);
            store(work.other + t, load(work.other + t) + counted);
        });
        steps.forget_targets(c);
        return status;
    }

    // The equation of `spike_max`; `a` and `b` are the derivatives by the counts of the other classes and the true one.
    void finish_probability(const Real* total, const Steps<Real>& steps, Workspace<Real>& work) const {
        const Real floor = Real(0.5), classes = Real(problem.classes);
        Real *a = saved_row(0, steps), *b = saved_row(1, steps);
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> spike = load(work.scale + t), duration = load(work.duration + t);
            const Vector<Real> zero = all(Real(0)), one = all(Real(1)), weight = load(work.weight + t);
            const Vector<Real> asked = load(work.picked + t) * spike, missing = larger<Real>(spike - asked, zero);
            const Vector<Real> raised = all(classes) * duration * missing;
            const Vector<Real> all_rates = load(total + t) * spike + raised * missing + all(Real(1e-6));
            const Vector<Real> at_least_one = larger<Real>(asked, spike), ratio = all_rates / at_least_one;
            const Vector<Real> inside = larger<Real>(ratio, all(floor));
            const Vector<Real> below = larger<Real>(all(floor) - ratio, zero);
            const Vector<Real> loss = logarithm<Real>(inside) - below * all(1 / floor) + duration * missing;
            store(work.sum + t, loss * weight);
            if (!saved) return;
            const Vector<Real> by_ratio = one / inside, by_total = by_ratio / at_least_one;
            const Vector<Real> own = where_above<Real>(asked - spike, zero - by_total * ratio,
                                                       zero - by_total * all(Real(2)) * raised - duration);
            steps.put(a, t, by_total * weight * spike);
            steps.put(b, t, (by_total + own) * weight * spike);
        });
    }

    void finish_softmax(const Steps<Real>& steps, Workspace<Real>& work) const {
        const Real slope = Real(1 / problem.temperature), smoothing = Real(problem.smoothing);
        const Real share = smoothing / Real(problem.classes);
        Real weights = 0;
        for (int64_t c = 0; smoothing > 0 && c < problem.classes; ++c) weights += problem.class_weight(c);
        Real *peaks = saved_row(0, steps), *parts = saved_row(1, steps);
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> scale = load(work.scale + t) * all(slope), sum = load(work.sum + t);
            const Vector<Real> peak = load(work.peak + t), log_sum = logarithm<Real>(sum);
            const Vector<Real> true_class = log_sum + (peak - load(work.picked + t)) * scale;
            Vector<Real> loss = true_class * load(work.weight + t) * all(1 - smoothing);
            if (smoothing > 0) {
                const Vector<Real> every = log_sum * all(weights) + (peak * all(weights) - load(work.other + t)) * scale;
                loss = loss + every * load(work.counted + t) * all(share);
            }
            store(work.sum + t, loss);
            if (!saved) return;
            steps.put(peaks, t, peak);
            steps.put(parts, t, all(Real(1)) / sum);
        });
    }

    Real* saved_row(int64_t which, const Steps<Real>& steps) const {
        return saved ? saved + (which * problem.samples + steps.sample) * problem.steps + steps.first : nullptr;
    }

    template <int KIND>
    void write(int64_t number, const Steps<Real>& steps, const Workspace<Real>& work) const {
        if (KIND == RATES)
            steps.each(steps.count, [&](int64_t t) { store(work.sum + t, load(work.sum + t) * load(work.weight + t)); });
        if (terms) std::memcpy(terms + steps.sample * problem.steps + steps.first, work.sum, steps.count * sizeof(Real));
        const Real* counted = KIND == SIGMOID ? work.other : work.weight;
        double losses[8] = {}, counts[8] = {};
        for (int64_t t = 0; t < steps.count; ++t) losses[t % 8] += work.sum[t], counts[t % 8] += counted[t];
        double* out = sums + 2 * number;
        out[0] = out[1] = 0;
        for (int i = 0; i < 8; ++i) out[0] += losses[i], out[1] += counts[i];
        if (KIND == RATES) out[1] *= double(problem.classes);
        if (last_of(problem.blocks(), done)) add_up();
    }

    // In the order of the blocks, whichever thread does it.
    void add_up() const {
        double losses = 0, counts = 0;
        for (int64_t i = 0; i < problem.blocks(); ++i) losses += sums[2 * i], counts += sums[2 * i + 1];
        *loss = Real(losses);
        *count = Real(counts);
    }
};

template <class Real>
struct Backward {
    const Problem<Real>& problem;
    const Real* saved;
    const Real* grad;  // of the losses
    int64_t grad_sample, grad_step;
    Real* grad_x;
    int64_t to_sample, to_class, to_step;

    // The derivative by the counts of each class, in `work.slope`; its sums over the window that follows are written.
    template <int KIND>
    int32_t block(int64_t number, Workspace<Real>& work) const {
        if (KIND <= SOFTMAX && saved[0] != saved[0]) return REFUSED;  // NaN: the losses were not computed here
        const int64_t window = problem.reach();
        Steps<Real> steps(problem, work, number);
        const int64_t here = steps.count;
        steps.prepare(window - 1);
        const int64_t length = here + window - 1;  // steps after the last have no loss
        Rows<Real> rows(problem, work, steps.sample, steps.first - (window - 1), steps.count + window - 1);
        Sink<Real> sink(problem, work, grad_x + steps.sample * to_sample + steps.first * to_step, to_class, to_step,
                        here);
        steps.each(length, [&](int64_t t) { store(work.slope + t, all(Real(0))); });
        steps.each(length, [&](int64_t t) { store(work.wanted + t, all(KIND == RATES ? Real(problem.low) : Real(0))); });
        incoming<KIND>(steps, work);
        if (KIND == PROBABILITY) {
            probability(steps, work, sink, here, window);
            return 0;
        }
        for (int64_t c = 0; c < problem.classes; ++c) {
            const Real* count = window_sums(rows.get(c), work.result, steps.count, window);
            if (KIND == SOFTMAX) softmax(c, count, steps, work);
            if (KIND == RATES) rates(c, count, steps, work);
            if (KIND == SIGMOID) sigmoid(c, count, steps, work);
            for (int64_t t = steps.count; t < length; ++t) work.slope[t] = 0;
            sink.put(c, window_sums(work.slope, work.result, here, window));
        }
        return 0;
    }

    // What the class-wise derivatives share: `sum` and `other`, from the incoming gradient and the weights.
    template <int KIND>
    void incoming(const Steps<Real>& steps, Workspace<Real>& work) const {
        const Real* from = grad + steps.sample * grad_sample + steps.first * grad_step;
        if (grad_step)
            for (int64_t t = 0; t < steps.count; ++t) work.sum[t] = from[t * grad_step];
        else
            steps.each(steps.count, [&](int64_t t) { store(work.sum + t, all(*from)); });
        if (KIND <= SOFTMAX) {
            const int64_t place = steps.sample * problem.steps + steps.first;
            std::memcpy(work.peak, saved + place, steps.count * sizeof(Real));
            std::memcpy(work.other, saved + place + problem.samples * problem.steps, steps.count * sizeof(Real));
        }
        const Real slope = Real(1 / problem.temperature), smoothing = Real(problem.smoothing);
        const Real share = smoothing / Real(problem.classes);
        Real weights = 0;
        for (int64_t c = 0; smoothing > 0 && c < problem.classes; ++c) weights += problem.class_weight(c);
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> g = load(work.sum + t);
            if (KIND == PROBABILITY) {
                store(work.sum + t, load(work.peak + t) * g);
                store(work.other + t, load(work.other + t) * g);
            } else if (KIND == SOFTMAX) {
                const Vector<Real> unit = g * load(work.scale + t) * all(slope);
                const Vector<Real> own = unit * load(work.weight + t) * all(1 - smoothing);
                const Vector<Real> every = unit * load(work.counted + t) * all(share);
                store(work.sum + t, (own + every * all(weights)) * load(work.other + t));
                store(work.other + t, every);
                store(work.picked + t, own);
            } else if (KIND == RATES) {
                store(work.sum + t, g * load(work.weight + t) * load(work.scale + t) * all(Real(2)));
            } else {
                store(work.sum + t, g * load(work.scale + t) * all(slope));
            }
        });
        for (int64_t t = steps.count; KIND == PROBABILITY && t < steps.count + problem.reach() - 1; ++t)
            work.sum[t] = work.other[t] = 0;
    }

    // The other classes share their gradient.
    void probability(const Steps<Real>& steps, Workspace<Real>& work, Sink<Real>& sink, int64_t here,
                     int64_t window) const {
        const int64_t length = here + window - 1;
        std::memcpy(work.slope, work.sum, length * sizeof(Real));
        const Real* shared = window_sums(work.slope, work.peak, here, window);
        for (int64_t c = 0; c < problem.classes; ++c) {
            const int64_t often = problem.dense() ? 1 : steps.often(c);
            if (!often) {
                sink.put(c, shared);
            } else if (!problem.dense() && often * window < here) {
                std::memcpy(work.result, shared, here * sizeof(Real));
                steps.occurrences(c, [&](int64_t t) {
                    const Real more = work.other[t] - work.sum[t];
                    const int64_t begin = t < window ? 0 : t - window + 1, end = t < here ? t + 1 : here;
                    for (int64_t i = begin; i < end; ++i) work.result[i] += more;
                });
                sink.put(c, work.result);
            } else {
                std::memcpy(work.wanted, work.sum, length * sizeof(Real));
                steps.set(c, work.wanted, work.other);
                sink.put(c, window_sums(work.wanted, work.result, here, window));
            }
        }
    }

    void softmax(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        const Vector<Real> unit = all(Real(1 / (LOG_2 * problem.temperature)));
        const Vector<Real> weight = all(problem.class_weight(c));
        const bool smooth = problem.smoothing > 0;
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> below = (load(count + t) - load(work.peak + t)) * load(work.scale + t) * unit;
            Vector<Real> slope = power_of_two<Real>(below) * load(work.sum + t);
            if (smooth) slope = slope - load(work.other + t) * weight;
            store(work.slope + t, slope);
        });
        steps.subtract(c, work.slope, work.picked);
    }

    void rates(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        steps.set(c, work.wanted, Real(problem.high));
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> distance = load(count + t) * load(work.scale + t) - load(work.wanted + t);
            store(work.slope + t, distance * load(work.sum + t));
        });
        steps.set(c, work.wanted, Real(problem.low));
    }

    void sigmoid(int64_t c, const Real* count, const Steps<Real>& steps, Workspace<Real>& work) const {
        steps.targets(c);
        const Vector<Real> weight = all(problem.class_weight(c)), zero = all(Real(0)), one = all(Real(1));
        const Vector<Real> middle = all(Real(problem.low)), slope = all(Real(1 / problem.temperature));
        steps.each(steps.count, [&](int64_t t) {
            const Vector<Real> logit = (load(count + t) * load(work.scale + t) - middle) * slope;
            const Vector<Real> part = power_of_two<Real>(smaller<Real>(logit, zero - logit) * all(Real(1 / LOG_2)));
            const Vector<Real> probability = where_above<Real>(logit, one, part) / (one + part);
            const Vector<Real> counted = weight * load(work.mask + t);
            store(work.slope + t, (probability - load(work.wanted + t)) * counted * load(work.sum + t));
        });
        steps.forget_targets(c);
    }
};

// Blocks of one of the four losses, until no thread finds another.
template <class Real, class Pass>
int32_t all_blocks(const Problem<Real>& problem, const Pass& pass, int64_t* next) {
    Workspace<Real> work(problem);
    if (!work.memory.template as<Real>()) return NO_MEMORY;
    int32_t status = 0;
    for (int64_t number; (number = take(next)) < problem.blocks();) {
        if (problem.kind == PROBABILITY) status |= pass.template block<PROBABILITY>(number, work);
        if (problem.kind == SOFTMAX) status |= pass.template block<SOFTMAX>(number, work);
        if (problem.kind == RATES) status |= pass.template block<RATES>(number, work);
        if (problem.kind == SIGMOID) status |= pass.template block<SIGMOID>(number, work);
    }
    return status;
}

#define PROBLEM(REAL)                                                                                                 \
    int64_t kind, int64_t samples, int64_t classes, int64_t steps, int64_t window, int64_t seen, int64_t chunk,       \
        const REAL *x, int64_t x_sample, int64_t x_class, int64_t x_step, const int64_t *labels,                      \
        int64_t label_sample, int64_t label_step, int64_t ignores, int64_t ignored, const int64_t *lengths,           \
        const REAL *weights, const REAL *targets, int64_t target_sample, int64_t target_class, \
        int64_t target_step, double temperature, double low, double high, double smoothing
#define GIVEN                                                                                                       \
    {kind,    samples,   classes, steps,         window,       seen,        chunk,       x,   x_sample, x_class,     \
     x_step,  labels,    label_sample, label_step, ignores,    ignored,     lengths,     weights, targets, \
     target_sample, target_class, target_step, temperature, low, high, smoothing}

template <class Real>
int32_t class_loss(int64_t* next, PROBLEM(Real), Real* terms, double* sums, int64_t* done, Real* loss, Real* count,
                   Real* saved) {
    const Problem<Real> problem = GIVEN;
    return all_blocks(problem, Forward<Real>{problem, terms, sums, done, loss, count, saved}, next);
}

template <class Real>
int32_t class_loss_backward(int64_t* next, PROBLEM(Real), const Real* saved, const Real* grad, int64_t grad_sample,
                            int64_t grad_step, Real* grad_x, int64_t to_sample, int64_t to_class, int64_t to_step) {
    const Problem<Real> problem = GIVEN;
    const Backward<Real> pass{problem, saved, grad, grad_sample, grad_step, grad_x, to_sample, to_class, to_step};
    return all_blocks(problem, pass, next);
}

}  // namespace

KERNEL(class_loss)
KERNEL(class_loss_backward)
