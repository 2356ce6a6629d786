/* A process of a size: large GIBIBYTES THREADS. Fills its memory with words that differ, so that no page is zero and none is like another;
 * its threads wait for the end. Prints its id once all that is done. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *rest(void *unused) {
    (void)unused;
    for (;;) pause();
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    size_t bytes = (size_t)(strtod(arguments[1], NULL) * (1 << 30));
    if (!bytes) bytes = 1 << 20;
    uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return perror("mmap"), 1;
    for (size_t at = 0; at < bytes / sizeof *memory; at++) memory[at] = at * 0x9e3779b97f4a7c15u + 1;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    for (int thread = atoi(arguments[2]); thread > 1; thread--) {
        pthread_t id;
        if (pthread_create(&id, &small, rest, NULL)) return perror("pthread_create"), 1;
    }
    printf("%d\n", (int)getpid());
    fflush(stdout);
    rest(NULL);
}
