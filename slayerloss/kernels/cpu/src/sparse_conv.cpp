// Convolutions of lists of events: each event adds its kernel's columns to the few places of the output that it reaches.
//
// An image, the output of one sample in one step, is built with the channels of a place side by side, so that an event
// adds whole columns; it is transposed where it is done. The gradient of the weight goes the same way back, and is a sum
// for each block of images: those are added up by the caller, in an order that does not depend on the threads.

#include "kernel.h"
#include "tiles.h"

namespace {

struct Axis {
    int64_t outputs, kernel, stride, padding, dilation;
};

struct Events {
    const int64_t *channels, *rows, *columns;  // (events), sorted by image
    const int64_t* begins;                     // (images + 1)
};

struct Geometry {
    int64_t images, inputs, outputs;  // inputs and outputs of a group
    int64_t groups;
    Axis height, width;

    explicit Geometry(const int64_t* g)
        : images(g[0]), inputs(g[1]), outputs(g[2]), groups(g[3]), height{g[4], g[5], g[6], g[7], g[8]},
          width{g[9], g[10], g[11], g[12], g[13]} {}

    int64_t channels() const { return groups * outputs; }
    int64_t places() const { return height.outputs * width.outputs; }
    int64_t weights() const { return groups * inputs * height.kernel * width.kernel * outputs; }
};

// Calls visit(output, element of the kernel) for what a place of one axis reaches.
template <class Visit>
INLINE void each_reached(const Axis& axis, int64_t place, const Visit& visit) {
    if (place < -axis.padding) return;
    const int64_t padded = place + axis.padding, reach = axis.dilation * (axis.kernel - 1) + 1;
    for (int64_t out = padded / axis.stride; out >= 0; --out) {
        const int64_t offset = padded - out * axis.stride;
        if (offset >= reach) break;
        if (out < axis.outputs && offset % axis.dilation == 0) visit(out, offset / axis.dilation);
    }
}

// Calls visit(event, where its column begins in the image, and in the weight (groups, inputs, height, width, outputs)).
template <class Visit>
INLINE void each_pair(const Geometry& geometry, const Events& events, int64_t image, const Visit& visit) {
    for (int64_t event = events.begins[image]; event < events.begins[image + 1]; ++event) {
        const int64_t channel = events.channels[event], first = channel / geometry.inputs * geometry.outputs;
        if (channel < 0 || channel >= geometry.groups * geometry.inputs) continue;
        each_reached(geometry.height, events.rows[event], [&](int64_t row, int64_t kernel_row) {
            each_reached(geometry.width, events.columns[event], [&](int64_t column, int64_t kernel_column) {
                const int64_t place = (row * geometry.width.outputs + column) * geometry.channels() + first;
                const int64_t element = (channel * geometry.height.kernel + kernel_row) * geometry.width.kernel;
                visit(event, place, (element + kernel_column) * geometry.outputs);
            });
        });
    }
}

template <class Real>
int32_t sparse_conv(int64_t* next, const int64_t* numbers, const int64_t* channels_of, const int64_t* rows,
                    const int64_t* columns, const int64_t* begins, const Real* values, const Real* weight, Real* y) {
    const Geometry geometry(numbers);
    const Events events{channels_of, rows, columns, begins};
    const int64_t places = geometry.places(), channels = geometry.channels(), size = places * channels;
    const Scratch scratch(size * int64_t(sizeof(Real)));
    Real* image = scratch.as<Real>();
    if (!image) return NO_MEMORY;
    for (int64_t i; (i = take(next)) < geometry.images;) {
        if (events.begins[i] == events.begins[i + 1]) {
            std::memset(y + i * size, 0, size * sizeof(Real));
            continue;
        }
        std::memset(image, 0, size * sizeof(Real));
        each_pair(geometry, events, i, [&](int64_t event, int64_t place, int64_t column) {
            add(image + place, weight + column, values[event], geometry.outputs);
        });
        transposed<false>(y + i * size, places, image, channels, places, channels);
    }
    return 0;
}

template <class Real>
int32_t sparse_conv_backward(int64_t* next, const int64_t* numbers, const int64_t* channels_of, const int64_t* rows,
                             const int64_t* columns, const int64_t* begins, const Real* values, const Real* grad,
                             Real* grad_weight, int64_t blocks) {
    const Geometry geometry(numbers);
    const Events events{channels_of, rows, columns, begins};
    const int64_t places = geometry.places(), channels = geometry.channels(), size = places * channels;
    const Scratch scratch(size * int64_t(sizeof(Real)));
    Real* image = scratch.as<Real>();
    if (!image) return NO_MEMORY;
    for (int64_t block; (block = take(next)) < blocks;) {
        Real* sum = grad_weight + block * geometry.weights();
        std::memset(sum, 0, geometry.weights() * sizeof(Real));
        for (int64_t i = geometry.images * block / blocks; i < geometry.images * (block + 1) / blocks; ++i) {
            if (events.begins[i] == events.begins[i + 1]) continue;
            transposed<true>(image, channels, grad + i * size, places, channels, places);
            each_pair(geometry, events, i, [&](int64_t event, int64_t place, int64_t column) {
                add(sum + column, image + place, values[event], geometry.outputs);
            });
        }
    }
    return 0;
}

}  // namespace

KERNEL(sparse_conv)
KERNEL(sparse_conv_backward)
