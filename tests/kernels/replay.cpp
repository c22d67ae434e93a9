// Makes recorded calls in a library of kernels: replay LIBRARY INSTRUCTION_SET < calls > results
//
// kernel_calls.py writes and reads the files.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

constexpr int NAME_BYTES = 64;
enum Kind : int64_t { INTEGER, REAL, ADDRESS };

struct Call {  // as in kernel.h
    const int64_t* arguments;
    int64_t next;
    int32_t found;
};

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
        std::vector<int64_t> packed;
        for (const Argument& argument : arguments)
            packed.push_back(argument.kind == ADDRESS
                                 ? reinterpret_cast<int64_t>(buffers[argument.value]) + argument.offset
                                 : argument.value);
        void* symbol = dlsym(library, (std::string(name) + "_" + words[2]).c_str());
        if (!symbol) fail(dlerror());
        Call call{packed.data(), 0, 0};
        reinterpret_cast<void (*)(Call*)>(symbol)(&call);
        const int64_t status = call.found;
        std::fwrite(&status, sizeof status, 1, stdout);
        for (size_t number = 0; number < buffers.size(); ++number) {
            std::fwrite(buffers[number], 1, sizes[number], stdout);
            std::free(buffers[number]);
        }
    }
    return 0;
}
