// Makes recorded calls in a library of kernels: replay LIBRARY INSTRUCTION_SET < calls > results
//
// For processors whose integer arguments and floating ones are handed over independently: x86-64 and aarch64, but for
// Windows. All integers come first here, whatever their order in the kernel. kernel_calls.py writes and reads the files.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

constexpr int NAME_BYTES = 64, INTEGERS = 40, REALS = 8;
enum Kind : int64_t { INTEGER, REAL, ADDRESS };

using I = int64_t;
using D = double;
using Function = int32_t (*)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I,
                             I, I, I, I, I, I, I, I, D, D, D, D, D, D, D, D);

static void fail(const char* why) {
    std::fprintf(stderr, "replay: %s\n", why);
    std::exit(1);
}

static void read_bytes(void* to, size_t bytes) {
    if (std::fread(to, 1, bytes, stdin) != bytes) fail("the calls end early");
}

static int64_t read_integer() {
    int64_t value;
    read_bytes(&value, sizeof value);
    return value;
}

struct Argument {
    int64_t kind, value, offset;
};

static int32_t call(Function function, const I* i, const D* d) {
#define EIGHT(from) i[from], i[from + 1], i[from + 2], i[from + 3], i[from + 4], i[from + 5], i[from + 6], i[from + 7]
    return function(EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
}

int main(int count, char** words) {
    if (count != 3) fail("expected a library and an instruction set");
    void* library = dlopen(words[1], RTLD_NOW);
    if (!library) fail(dlerror());
    for (int64_t calls = read_integer(); calls > 0; --calls) {
        char name[NAME_BYTES + 1] = {};
        read_bytes(name, NAME_BYTES);
        std::vector<Argument> arguments(read_integer());
        for (Argument& argument : arguments) read_bytes(&argument, sizeof argument);
        std::vector<void*> buffers(read_integer());
        std::vector<int64_t> sizes(buffers.size());
        for (size_t number = 0; number < buffers.size(); ++number) {
            sizes[number] = read_integer();
            if (posix_memalign(&buffers[number], 64, sizes[number] + 1)) fail("no memory");
            read_bytes(buffers[number], sizes[number]);
        }
        int64_t integers[INTEGERS] = {}, next = 0;
        double reals[REALS] = {};
        int integers_used = 0, reals_used = 0;
        for (const Argument& argument : arguments) {
            if (integers_used == INTEGERS - 1 || reals_used == REALS) fail("too many arguments");
            if (argument.kind == REAL)
                std::memcpy(&reals[reals_used++], &argument.value, sizeof(double));
            else if (argument.kind == ADDRESS)
                integers[integers_used++] = reinterpret_cast<int64_t>(buffers[argument.value]) + argument.offset;
            else
                integers[integers_used++] = argument.value;
        }
        integers[integers_used] = reinterpret_cast<int64_t>(&next);
        void* symbol = dlsym(library, (std::string(name) + "_" + words[2]).c_str());
        if (!symbol) fail(dlerror());
        const int64_t status = call(reinterpret_cast<Function>(symbol), integers, reals);
        std::fwrite(&status, sizeof status, 1, stdout);
        for (size_t number = 0; number < buffers.size(); ++number) {
            std::fwrite(buffers[number], 1, sizes[number], stdout);
            std::free(buffers[number]);
        }
    }
    return 0;
}
