// Four threads that allocate, fill and free blocks of mixed sizes, some of them each other's.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, TURNS = 300000, SLOTS = 512 };

static _Atomic(char *) slots[SLOTS];

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

// Most blocks are small; one in 64 is of up to 1 MiB, and is filled at its start.
static void *work(void *seed)
{
    uint64_t state = 0x9e3779b97f4a7c15u * ((uintptr_t)seed + 1);
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t drawn = next(&state);
        size_t size = drawn % 64 ? 16 + (drawn >> 8) % 4096 : 4096 + (drawn >> 8) % (1 << 20);
        char *block = malloc(size);
        if (!block)
            abort();
        memset(block, (int)drawn, size < 65536 ? size : 65536);
        free(atomic_exchange(&slots[(drawn >> 40) % SLOTS], block));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            abort();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
