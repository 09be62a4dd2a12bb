/* The C and C++ side of procshare's PosixLock: map it, lock it, be told of deaths.
 *
 * Link with -pthread. Works within one pid namespace, among programs of one C library. docs/layout.md describes the bytes.
 *
 *     struct procshare_posix_lock *lock = procshare_posix_open("/dev/shm/procshare-1000/default/NAME");
 *     int told = procshare_posix_lock(lock);          // 0, EOWNERDEAD, or an error that did not lock
 *     if (told == EOWNERDEAD) {
 *         // ... repair what the lock protects ...
 *         procshare_posix_consistent(lock);
 *     }
 *     procshare_posix_unlock(lock);
 */
#ifndef PROCSHARE_POSIX_LOCK_H
#define PROCSHARE_POSIX_LOCK_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The body of the object: it begins at byte 256 of the file. */
struct procshare_posix_lock {
    union {
        pthread_mutex_t mutex;
        unsigned char room[64];
    } at;
    uint32_t mark; /* 0: consistent; 1: an owner died, 2: an owner panicked, and nobody has repaired since */
    uint32_t reserved[15];
};

enum { PROCSHARE_HEADER = 256, PROCSHARE_LAYOUT_VERSION = 1, PROCSHARE_KIND_POSIX_LOCK = 18 };

/* Maps the lock in the file `path`; NULL, with errno set, if it is none (EINVAL) or cannot be mapped. */
static inline struct procshare_posix_lock *procshare_posix_open(const char *path) {
    size_t length = PROCSHARE_HEADER + sizeof(struct procshare_posix_lock);
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct stat facts;
    char *base = (char *)MAP_FAILED;
    uint32_t version = 0, kind = 0;
    uint64_t size = 0;
    if (file < 0)
        return NULL;
    if (fstat(file, &facts) == 0) {
        if ((uint64_t)facts.st_size >= length)
            base = (char *)mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        else
            errno = EINVAL;
    }
    close(file);
    if (base == (char *)MAP_FAILED)
        return NULL;
    memcpy(&version, base + 8, sizeof version);
    memcpy(&kind, base + 16, sizeof kind);
    memcpy(&size, base + 48, sizeof size);
    if (memcmp(base, "procshr\n", 8) != 0 || version != PROCSHARE_LAYOUT_VERSION ||
        kind != PROCSHARE_KIND_POSIX_LOCK || size != sizeof(pthread_mutex_t)) {
        munmap(base, length);
        errno = EINVAL;
        return NULL;
    }
    return (struct procshare_posix_lock *)(base + PROCSHARE_HEADER);
}

/* Unmaps the lock; the calling process must not hold it. */
static inline void procshare_posix_close(struct procshare_posix_lock *lock) {
    munmap((char *)lock - PROCSHARE_HEADER, PROCSHARE_HEADER + sizeof *lock);
}

/* What an answer of the C library means; for pthread_mutex_trylock and pthread_mutex_timedlock, too. */
static inline int procshare_posix_told(struct procshare_posix_lock *lock, int answer) {
    if (answer == EOWNERDEAD)
        lock->mark = 1;
    else if (answer != 0)
        return answer;
    return lock->mark != 0 ? EOWNERDEAD : 0;
}

/* Takes the lock: 0; EOWNERDEAD if it is taken and an owner died or panicked; anything else did not take it. */
static inline int procshare_posix_lock(struct procshare_posix_lock *lock) {
    return procshare_posix_told(lock, pthread_mutex_lock(&lock->at.mutex));
}

/* Says that what the lock protects is consistent again; for whoever holds it. */
static inline void procshare_posix_consistent(struct procshare_posix_lock *lock) {
    pthread_mutex_consistent(&lock->at.mutex);
    lock->mark = 0;
}

/* Gives the lock back. What nobody repaired stays marked, and the next owner is told again. */
static inline int procshare_posix_unlock(struct procshare_posix_lock *lock) {
    if (lock->mark != 0)
        pthread_mutex_consistent(&lock->at.mutex);
    return pthread_mutex_unlock(&lock->at.mutex);
}

#endif
