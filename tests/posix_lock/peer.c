/* Counts under a lock that Rust processes use, too. The table it counts in is described in tests/posix_lock/crowd.rs.
 *
 *     peer LOCK TABLE count SEAT         counts until it is killed or the table says stop
 *     peer LOCK TABLE hold               takes the lock, says so, and ends when its input does, without giving it back
 *     peer LOCK TABLE once               takes the lock and prints what it was told; repairs and gives it back
 *     peer LOCK TABLE spoil              as `once`, but gives the mutex back unrepaired, as POSIX says one must not
 */
#include "procshare_posix_lock.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEFT, RIGHT, TOLD, STOP, BROKEN, NOTED };

static volatile uint64_t *map_table(const char *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *base = mmap(NULL, PROCSHARE_HEADER + 512, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (base == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    return (volatile uint64_t *)((char *)base + PROCSHARE_HEADER);
}

static void count(struct procshare_posix_lock *lock, volatile uint64_t *table, int seat) {
    while (!table[STOP]) {
        int told = procshare_posix_lock(lock);
        if (told == EOWNERDEAD) {
            table[TOLD] += 1;
            table[RIGHT] = table[LEFT];
            procshare_posix_consistent(lock);
        } else if (told != 0) {
            fprintf(stderr, "lock: %s\n", strerror(told));
            exit(3);
        }
        if (table[LEFT] != table[RIGHT])
            table[BROKEN] = 1;
        table[LEFT] += 1;
        table[RIGHT] += 1;
        procshare_posix_unlock(lock);
        table[NOTED + seat] += 1;
    }
}

static int take(struct procshare_posix_lock *lock) {
    int told = procshare_posix_lock(lock);
    puts(told == 0 ? "clean" : told == EOWNERDEAD ? "died" : strerror(told));
    fflush(stdout);
    return told;
}

int main(int argc, char **argv) {
    struct procshare_posix_lock *lock;
    volatile uint64_t *table;
    if (argc < 4 || (lock = procshare_posix_open(argv[1])) == NULL) {
        perror(argc < 4 ? "usage" : argv[1]);
        return 2;
    }
    table = map_table(argv[2]);
    if (strcmp(argv[3], "count") == 0) {
        count(lock, table, atoi(argv[4]));
    } else if (strcmp(argv[3], "hold") == 0) {
        take(lock);
        while (getchar() != EOF) {
        }
    } else if (strcmp(argv[3], "once") == 0) {
        if (take(lock) == EOWNERDEAD)
            procshare_posix_consistent(lock);
        procshare_posix_unlock(lock);
    } else if (strcmp(argv[3], "spoil") == 0) {
        take(lock);
        pthread_mutex_unlock(&lock->at.mutex);
    }
    return 0;
}
