/* What the balanced containers run: answers every request on port 8080 with the page in $PAGE, over connections that stay. One
 * thread, so that what is measured is what stands before it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 1024
#define HEAD 4096

static struct pollfd polled[MOST];
static char heads[MOST][HEAD];
static size_t filled[MOST];

int main(void) {
    const char *page = getenv("PAGE");
    char answer[512];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(page ? page : ""), page ? page : "");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1, count = 1;
    signal(SIGPIPE, SIG_IGN);
    /* The first process of a container does not end by itself when it is asked to. */
    signal(SIGTERM, _exit);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) return 1;
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (;;) {
        if (poll(polled, count, -1) < 0) {
            if (errno == EINTR) continue;
            return 1;
        }
        for (int i = count - 1; i > 0; i--) {
            if (!polled[i].revents) continue;
            ssize_t got = read(polled[i].fd, heads[i] + filled[i], HEAD - filled[i]);
            int ended = got <= 0;
            if (!ended) {
                filled[i] += got;
                char *from = heads[i], *end;
                while (!ended && (end = memmem(from, heads[i] + filled[i] - from, "\r\n\r\n", 4))) {
                    from = end + 4;
                    ended = write(polled[i].fd, answer, size) != size;
                }
                filled[i] -= from - heads[i];
                memmove(heads[i], from, filled[i]);
                ended = ended || filled[i] == HEAD;
            }
            if (ended) {
                close(polled[i].fd);
                polled[i] = polled[--count];
                memcpy(heads[i], heads[count], HEAD);
                filled[i] = filled[count];
            }
        }
        if (polled[0].revents) {
            int fd = accept(listener, NULL, NULL);
            if (fd >= 0 && count == MOST) close(fd);
            else if (fd >= 0) {
                setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
                polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
                filled[count++] = 0;
            }
        }
    }
}
