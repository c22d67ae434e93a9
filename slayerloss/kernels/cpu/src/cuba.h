// What the forward and the backward pass of the CUBA neuron share: its population, and the voltages that go from one
// to the other.
#pragma once

#include "population.h"

namespace {

// What a step keeps of each state, in multiples of 1/4096.
struct Decays {
    const double* current;  // null: the input is the current
    const double* voltage;  // null: there is no voltage
    int64_t current_channels, voltage_channels;
};

template <int64_t WIDTH>
struct Population {
    Ints keep_current[WIDTH / LANES], keep_voltage[WIDTH / LANES], current[WIDTH / LANES], voltage[WIDTH / LANES];

    void set_decays(const Signal& signal, const Decays& decays, int64_t first, int64_t rows) {
        if (decays.current)
            whole_keeps<WIDTH>(keep_current, decays.current, decays.current_channels, signal, first, rows);
        if (decays.voltage)
            whole_keeps<WIDTH>(keep_voltage, decays.voltage, decays.voltage_channels, signal, first, rows);
    }

    // One step of the neurons of vector i; true where they spike. `now` is u, or v before its reset; `clipped` gets bits
    // where v saturates.
    template <bool INTEGRATES, bool FIRES>
    INLINE Ints step(int64_t i, const Ints& x, const Ints& threshold, Ints& now, Ints& clipped) {
        now = INTEGRATES ? current[i] = wrapped(decayed(current[i], keep_current[i]) + x) : x;
        if (!FIRES) return all(0);
        const Ints sum = decayed(voltage[i], keep_voltage[i]) + now;
        now = saturated(sum);
        clipped = clipped | (sum ^ now);
        const Ints fires = now > threshold;
        voltage[i] = now & ~fires;
        return fires;
    }
};

constexpr int64_t GROUP = 4;  // vectors that one turn of a loop treats

// Voltages before the reset, kept for the backward pass: of a group of four vectors three have their 24 bits in a word
// each, and the bytes of the fourth fill the words up.
struct Voltages {
    int32_t* words;
    int64_t stride;  // words of a step

    INLINE int32_t* at(int64_t t, int64_t group) const { return words + t * stride + group * (GROUP - 1) * LANES; }

    INLINE void put(int64_t t, int64_t group, const Ints (&v)[GROUP]) const {
        int32_t* to = at(t, group);
        for (int i = 0; i < GROUP - 1; ++i)
            store(to + i * LANES, (v[i] & all(0xffffff)) | ((v[3] >> all(8 * i)) << all(24)));
    }

    INLINE void get(int64_t t, int64_t group, Ints (&v)[GROUP]) const {
        const int32_t* from = at(t, group);
        v[3] = all(0);
        for (int i = 0; i < GROUP - 1; ++i) {
            const Ints word = load(from + i * LANES), byte = word >> all(24);
            v[i] = (word << all(8)) >> all(8);
            v[3] = v[3] | ((i == 2 ? byte : byte & all(0xff)) << all(8 * i));
        }
    }
};

// A block of rows, filled up to a multiple of 64.
template <int64_t WIDTH>
struct Block {
    int64_t first, rows;

    Block(int64_t number, int64_t all_rows)
        : first(number * WIDTH), rows(all_rows - first < WIDTH ? all_rows - first : WIDTH) {}

    INLINE int64_t filled() const { return WIDTH == NARROW ? WIDTH : (rows + NARROW - 1) / NARROW * NARROW; }
    INLINE int64_t groups() const { return filled() / (GROUP * LANES); }
    Voltages of(int32_t* words, int64_t steps) const { return {words + first * steps / 4 * 3, filled() / 4 * 3}; }
};

// Blocks that a thread takes at a time: neighbours, of which the next one can be fetched, but not so many that another
// thread has to wait.
inline int64_t blocks_at_once(int64_t blocks) { return blocks < 32 ? 1 : blocks < 128 ? blocks / 16 : 8; }

// A state in units of the input -> LSBs; false if it is no whole number of them within the range.
template <class Real>
inline bool to_whole(Ints* lsb, const Real* state, Real scale, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < width / LANES; ++i) lsb[i] = all(0);
    bool exact = true;
    for (int64_t i = 0; state && i < rows; ++i) {
        const Real scaled = state[i] * scale;
        const bool inside = scaled >= Real(-STATE_LIMIT) && scaled <= Real(STATE_LIMIT);
        lsb[i / LANES][i % LANES] = inside ? int32_t(scaled) : 0;
        exact &= inside && Real(int32_t(inside ? scaled : 0)) == scaled;
    }
    return exact;
}

}  // namespace
