// Loaded before libc into the drilled programme and its PostgreSQL. A page that the drill writes to says what is wrong
// with the machine just now: how far its clock is off, and whether its disk is full.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct page {
    volatile long clock_off_seconds;
    volatile long disk_full;
};

static struct page none;
static struct page *page = &none;

__attribute__((constructor)) static void open_page(void) {
    const char *path = getenv("HUNCH_DRILL_FAULTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *seen = mmap(0, sizeof(struct page), PROT_READ, MAP_SHARED, file, 0);
    if (seen != MAP_FAILED) page = seen;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, now);
    if (done == 0 && which == CLOCK_REALTIME) now->tv_sec += page->clock_off_seconds;
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(now, zone);
    if (done == 0) now->tv_sec += page->clock_off_seconds;
    return done;
}

// Only files that would grow; what has its place on the disk can be written again.
static int no_room(int file, off_t end) {
    struct stat seen;
    return page->disk_full && fstat(file, &seen) == 0 && S_ISREG(seen.st_mode) && end > seen.st_size;
}

#define REFUSE do { errno = ENOSPC; return -1; } while (0)

ssize_t pwrite64(int file, const void *from, size_t length, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (no_room(file, at + (off_t)length)) REFUSE;
    return real(file, from, length, at);
}

ssize_t pwrite(int file, const void *from, size_t length, off_t at) { return pwrite64(file, from, length, at); }

ssize_t pwritev64(int file, const struct iovec *from, int pieces, off_t at) {
    static ssize_t (*real)(int, const struct iovec *, int, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwritev64");
    size_t length = 0;
    for (int i = 0; i < pieces; i++) length += from[i].iov_len;
    if (no_room(file, at + (off_t)length)) REFUSE;
    return real(file, from, pieces, at);
}

ssize_t pwritev(int file, const struct iovec *from, int pieces, off_t at) { return pwritev64(file, from, pieces, at); }

int posix_fallocate64(int file, off_t at, off_t length) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_fallocate64");
    return no_room(file, at + length) ? ENOSPC : real(file, at, length);
}

int posix_fallocate(int file, off_t at, off_t length) { return posix_fallocate64(file, at, length); }
