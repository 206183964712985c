/*
 * The name server of the benchmarks: says of every name that it is this host. An A question is
 * answered with 127.0.0.1, an AAAA question with ::1, any other with nothing; for a minute.
 *
 * usage: dns FD            the descriptor of a bound UDP socket
 *
 * Each byte on standard input is answered by one line, "answered cpu_microseconds"; the end of
 * standard input ends the process.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 12, LARGEST = 512, A = 1, AAAA = 28 };

/* Turn the question in `bytes` into its answer, and return the answer's size; 0 for nonsense. */
static int answer(unsigned char *bytes, int size) {
    static const unsigned char v4[] = {0xc0, 12, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
    static const unsigned char v6[] = {0xc0, 12, 0, AAAA, 0, 1, 0, 0, 0, 60, 0, 16, 0, 0,
                                       0,    0,  0, 0,    0, 0, 0, 0, 0, 0,  0, 0,  0, 1};
    int end = HEADER;
    while (end < size && bytes[end] != 0)
        end += bytes[end] + 1;
    end += 5; /* the root label, type and class */
    if (end > size || end + (int)sizeof v6 > LARGEST)
        return 0;
    int type = bytes[end - 4] << 8 | bytes[end - 3];
    bytes[2] = 0x85; /* a response, with authority; recursion was desired */
    bytes[3] = 0x80; /* and is available */
    memset(bytes + 4, 0, 8);
    bytes[5] = 1; /* the question; what else came with it is dropped */
    if (type == A) {
        memcpy(bytes + end, v4, sizeof v4);
        end += sizeof v4;
    } else if (type == AAAA) {
        memcpy(bytes + end, v6, sizeof v6);
        end += sizeof v6;
    }
    bytes[7] = type == A || type == AAAA;
    return end;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    unsigned long long answered = 0;
    struct pollfd watched[2] = {
        {.fd = atoi(argv[1]), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };

    for (;;) {
        unsigned char bytes[LARGEST];
        struct sockaddr_storage client;
        socklen_t length;
        int size;
        poll(watched, 2, -1);
        while (length = sizeof client,
               (size = (int)recvfrom(watched[0].fd, bytes, sizeof bytes, MSG_DONTWAIT,
                                     (struct sockaddr *)&client, &length)) >= 0) {
            size = answer(bytes, size);
            if (size > 0)
                sendto(watched[0].fd, bytes, size, 0, (struct sockaddr *)&client, length);
            answered++;
        }
        if (watched[1].revents) {
            char byte;
            struct rusage usage;
            if (read(STDIN_FILENO, &byte, 1) <= 0)
                return 0;
            getrusage(RUSAGE_SELF, &usage);
            printf("%llu %lld\n", answered,
                   (long long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
            fflush(stdout);
        }
    }
}
