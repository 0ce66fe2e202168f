// Read bandwidth of this machine, in GB/s: one line per thread count.
//
//     cc -O3 -march=native -pthread readbw.c -o readbw && ./readbw MEGABYTES THREADS ...
//
// Decoding reads every weight once per token, so this is the ceiling of a token rate.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, LANES = 32 };

struct part {
    const uint64_t *from;
    size_t words;
    uint64_t sum;
};

static void *read_part(void *arg) {
    struct part *p = arg;
    uint64_t lane[LANES] = {0};
    for (size_t i = 0; i + LANES <= p->words; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += p->from[i + k];
    for (int k = 0; k < LANES; k++) p->sum += lane[k];
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: %s MEGABYTES THREADS ...\n", argv[0]), 2;
    const size_t bytes = strtoull(argv[1], NULL, 10) * 1000000;
    uint64_t *data = malloc(bytes);
    if (!data) return perror("malloc"), 1;
    memset(data, 1, bytes);
    uint64_t sum = 0;
    for (int a = 2; a < argc; a++) {
        const size_t threads = strtoull(argv[a], NULL, 10);
        if (threads < 1 || threads > 256) return fprintf(stderr, "%s threads?\n", argv[a]), 2;
        double best = 1e30;
        for (int round = 0; round < ROUNDS; round++) {
            pthread_t id[256];
            struct part part[256];
            const size_t words = bytes / sizeof *data / threads;
            const double start = now();
            for (size_t t = 0; t < threads; t++) {
                part[t] = (struct part){data + t * words, words, 0};
                if (pthread_create(&id[t], NULL, read_part, &part[t])) return perror("thread"), 1;
            }
            for (size_t t = 0; t < threads; t++) {
                pthread_join(id[t], NULL);
                sum += part[t].sum;
            }
            const double took = now() - start;
            if (took < best) best = took;
        }
        printf("%zu %.2f\n", threads, bytes / best * 1e-9);
    }
    fprintf(stderr, "(%llx)\n", (unsigned long long)sum);
    return 0;
}
