/* LD_PRELOAD: after fault_arm(n, error, kinds) the n-th call of these kinds, from 1 on, fails with
   the error; a write whose error is 0 takes half of its bytes. fault_count() tells the calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, RENAMES = 4, READS = 8, MAPS = 16 };
static volatile int armed, error, kinds;
static volatile long count;
void fault_arm(int n, int e, int k) { armed = n, error = e, kinds = k, count = 0; }
long fault_count(void) { return count; }
static int hit(int kind) { return armed && (kinds & kind) && __sync_add_and_fetch(&count, 1) == armed; }
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, name)
#define FAIL(kind, value) if (hit(kind)) { errno = error; return value; }
#define PWRITE(name) \
    ssize_t name(int f, const void *b, size_t n, off_t o) { \
        REAL(ssize_t, #name, int, const void *, size_t, off_t); \
        if (hit(WRITES)) { if (error || n < 2) { errno = error; return -1; } n /= 2; } \
        return real(f, b, n, o); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)
#define PWRITEV2(name) \
    ssize_t name(int f, const struct iovec *v, int c, off_t o, int flags) { \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t, int); \
        struct iovec one = *v; \
        if (hit(WRITES)) { if (error || one.iov_len < 2) { errno = error; return -1; } one.iov_len /= 2; } \
        return real(f, &one, 1, o, flags); \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)
ssize_t write(int f, const void *b, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (f > 2 && hit(WRITES)) { if (error || n < 2) { errno = error; return -1; } n /= 2; }
    return real(f, b, n);
}
#define TRUNCATE(name) \
    int name(int f, off_t o) { REAL(int, #name, int, off_t); if (error) FAIL(WRITES, -1) return real(f, o); }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)
int fsync(int f) { REAL(int, "fsync", int); FAIL(SYNCS, -1) return real(f); }
int rename(const char *a, const char *b) {
    REAL(int, "rename", const char *, const char *); FAIL(RENAMES, -1) return real(a, b);
}
int renameat2(int x, const char *a, int y, const char *b, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    FAIL(RENAMES, -1) return real(x, a, y, b, flags);
}
#define PREAD(name) \
    ssize_t name(int f, void *b, size_t n, off_t o) { \
        REAL(ssize_t, #name, int, void *, size_t, off_t); FAIL(READS, -1) return real(f, b, n, o); \
    }
PREAD(pread)
PREAD(pread64)
ssize_t read(int f, void *b, size_t n) {
    REAL(ssize_t, "read", int, void *, size_t);
    if (f > 2) FAIL(READS, -1)
    return real(f, b, n);
}
#define PREADV(name) \
    ssize_t name(int f, const struct iovec *v, int c, off_t o) { \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t); FAIL(READS, -1) return real(f, v, c, o); \
    }
PREADV(preadv)
PREADV(preadv64)
void *mmap(void *a, size_t n, int p, int flags, int f, off_t o) {
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
    if (f >= 0) FAIL(MAPS, MAP_FAILED)
    return real(a, n, p, flags, f, o);
}
