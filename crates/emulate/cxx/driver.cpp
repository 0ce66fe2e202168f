// A program around the runtime, for what cannot be loaded into a process that is not sanitized itself: reads a launch from
// a file, runs it, writes the buffers to another. Numbers are in the machine's order; see src/process.rs.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernel.h"

namespace {

constexpr int BAD_FILE = 2, FAILED = 3;

struct File {
    FILE* file;

    File(const char* path, const char* mode) : file(fopen(path, mode)) {
        if (!file) stop(path);
    }
    ~File() {
        if (fclose(file)) stop("closing");
    }
    [[noreturn]] static void stop(const char* what) {
        perror(what);
        exit(BAD_FILE);
    }
    void read(void* to, size_t bytes) {
        if (bytes && fread(to, bytes, 1, file) != 1) stop("reading the launch");
    }
    void write(const void* from, size_t bytes) {
        if (bytes && fwrite(from, bytes, 1, file) != 1) stop("writing the buffers");
    }
    uint32_t number() {
        uint32_t number;
        read(&number, 4);
        return number;
    }
};

// Exactly as many bytes as asked for, at a multiple of 64, so that the next byte is not the kernel's.
struct Buffer {
    size_t bytes;
    void* data;
};

}  // namespace

int main(int count, char** words) {
    if (count != 3) {
        fprintf(stderr, "usage: %s LAUNCH BUFFERS\n", words[0]);
        return BAD_FILE;
    }
    std::vector<Buffer> buffers;
    std::vector<uint32_t> arguments;
    emu::Launch launch = {};
    {
        File file(words[1], "rb");
        launch.kernel = file.number();
        for (uint32_t& groups : launch.grid) groups = file.number();
        launch.backward = file.number();
        arguments.resize(file.number());
        file.read(arguments.data(), arguments.size() * 4);
        buffers.resize(file.number());
        for (Buffer& buffer : buffers) {
            uint64_t bytes;
            file.read(&bytes, 8);
            buffer = {bytes, nullptr};
            if (posix_memalign(&buffer.data, 64, bytes ? bytes : 1)) File::stop("no memory for a buffer");
            file.read(buffer.data, bytes);
        }
    }
    if (launch.kernel >= emu::KERNEL_COUNT || emu::KERNELS[launch.kernel].buffers != buffers.size() ||
        emu::KERNELS[launch.kernel].words != arguments.size()) {
        fprintf(stderr, "the launch does not fit the kernel\n");
        return BAD_FILE;
    }
    std::vector<void*> addresses;
    for (Buffer& buffer : buffers) addresses.push_back(buffer.data);
    char report[1024] = "";
    launch.arguments = arguments.data();
    launch.buffers = addresses.data();
    launch.report = report;
    launch.report_bytes = sizeof report;
    int failed = emu_launch(&launch);
    {
        File file(words[2], "wb");
        for (Buffer& buffer : buffers) file.write(buffer.data, buffer.bytes);
    }
    for (Buffer& buffer : buffers) free(buffer.data);
    if (failed) {
        printf("%s\n", report);
        return FAILED;
    }
}
