/*
 * The accept loop of the benchmarks: takes every connection, keeps it until the client has closed
 * its end, and answers that with a reset (the listening sockets carry SO_LINGER of zero, and an
 * accepted socket inherits it), so that no connection is left in TIME_WAIT on either side.
 *
 * A Unix socket holds no port and knows no TIME_WAIT, and connecting to one is so cheap that this
 * loop would be what is measured: there it only holds the latest HELD connections.
 *
 * usage: accept FD...      the descriptors of listening, non-blocking sockets
 *
 * Each byte on standard input is answered by one line, "accepted cpu_microseconds"; the end of
 * standard input ends the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENER = 1, UNIX_LISTENER, CONTROL, CONNECTION };
enum { BATCH = 512, HELD = 4096 };

static void watch(int epoll, int kind, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = ((uint64_t)kind << 32) | (uint32_t)fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static int is_unix(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_UNIX;
}

int main(int argc, char **argv) {
    unsigned long long accepted = 0;
    static int held[HELD];
    struct epoll_event events[BATCH];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 1; i < argc; i++)
        watch(epoll, is_unix(atoi(argv[i])) ? UNIX_LISTENER : LISTENER, atoi(argv[i]), EPOLLIN);
    watch(epoll, CONTROL, STDIN_FILENO, EPOLLIN);

    for (;;) {
        int ready = epoll_wait(epoll, events, BATCH, -1);
        if (ready < 0 && errno != EINTR) {
            perror("epoll_wait");
            return 1;
        }
        for (int i = 0; i < ready; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            int kind = (int)(events[i].data.u64 >> 32);
            switch (kind) {
            case LISTENER:
            case UNIX_LISTENER:
                for (;;) {
                    int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                    if (connection < 0)
                        break;
                    if (kind == LISTENER) {
                        watch(epoll, CONNECTION, connection, EPOLLIN | EPOLLRDHUP);
                    } else {
                        if (held[accepted % HELD])
                            close(held[accepted % HELD]);
                        held[accepted % HELD] = connection;
                    }
                    accepted++;
                }
                break;
            case CONNECTION:
                /* Nothing is ever sent to this server: what woke it is the end of the stream. */
                close(fd);
                break;
            case CONTROL: {
                char byte;
                struct rusage usage;
                if (read(STDIN_FILENO, &byte, 1) <= 0)
                    return 0;
                getrusage(RUSAGE_SELF, &usage);
                printf("%llu %lld\n", accepted,
                       (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
                fflush(stdout);
                break;
            }
            }
        }
    }
}
