/*
 * A line with a round trip: carries packets between two TUN devices and holds each of them for a
 * fixed time, the same in both directions.
 *
 * usage: delay FD FD MICROSECONDS      two open TUN descriptors, non-blocking, without headers
 *
 * Each byte on standard input is answered by one line, "forwarded cpu_microseconds"; the end of
 * standard input ends the process.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 1 << 16, LARGEST = 2048, BATCH = 64 };

struct packet {
    long long due;
    int size;
    char *bytes;
};

struct queue {
    struct packet packets[CAPACITY];
    unsigned first, end;
};

static struct queue queues[2]; /* queue i holds what came from device i */

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void take(int fd, struct queue *queue, long long delay) {
    char bytes[LARGEST];
    for (int i = 0; i < BATCH && queue->end - queue->first < CAPACITY; i++) {
        int size = (int)read(fd, bytes, sizeof bytes);
        if (size <= 0)
            return;
        struct packet *packet = &queue->packets[queue->end++ % CAPACITY];
        packet->due = now() + delay;
        packet->size = size;
        packet->bytes = malloc(size);
        memcpy(packet->bytes, bytes, size);
    }
}

static unsigned long long give(int fd, struct queue *queue) {
    unsigned long long given = 0;
    long long time = now();
    while (queue->first != queue->end && queue->packets[queue->first % CAPACITY].due <= time) {
        struct packet *packet = &queue->packets[queue->first++ % CAPACITY];
        if (write(fd, packet->bytes, packet->size) < 0)
            perror("write");
        free(packet->bytes);
        given++;
    }
    return given;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int devices[2] = {atoi(argv[1]), atoi(argv[2])};
    long long delay = atoll(argv[3]) * 1000;
    unsigned long long forwarded = 0;
    struct pollfd watched[3] = {
        {.fd = devices[0], .events = POLLIN},
        {.fd = devices[1], .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };

    prctl(PR_SET_TIMERSLACK, 1000); /* the default of 50 us is a tenth of half a millisecond */
    for (;;) {
        long long next = -1;
        for (int i = 0; i < 2; i++) {
            struct queue *queue = &queues[i];
            if (queue->first != queue->end) {
                long long due = queue->packets[queue->first % CAPACITY].due;
                if (next < 0 || due < next)
                    next = due;
            }
        }
        struct timespec wait = {0, 0};
        if (next >= 0) {
            long long left = next - now();
            if (left > 0)
                wait = (struct timespec){left / 1000000000LL, left % 1000000000LL};
        }
        ppoll(watched, 3, next < 0 ? NULL : &wait, NULL);
        for (int i = 0; i < 2; i++) {
            if (watched[i].revents)
                take(devices[i], &queues[i], delay);
            forwarded += give(devices[1 - i], &queues[i]);
        }
        if (watched[2].revents) {
            char byte;
            struct rusage usage;
            if (read(STDIN_FILENO, &byte, 1) <= 0)
                return 0;
            getrusage(RUSAGE_SELF, &usage);
            printf("%llu %lld\n", forwarded,
                   (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
            fflush(stdout);
        }
    }
}
