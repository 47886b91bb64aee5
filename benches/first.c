/* What the measured containers run: the time at which their own code runs first, in nanoseconds since the epoch. */
#include <stdio.h>
#include <time.h>

int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("first %lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    return 0;
}
