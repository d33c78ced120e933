/* Makes the nth call of a kind fail, on TCP sockets only: put in front of the C library by LD_PRELOAD, told what to do
 * through `faults_arm`. Memory fails for modules of ours alone, and none of it is freed by another name.
 *
 * A call that is to fail is not made, but for a `connect` that is interrupted, which goes on in the background (POSIX).
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { RECV, SEND, ACCEPT, EPOLL_CTL, EPOLL_WAIT, GETPEERNAME, SETSOCKOPT, SHUTDOWN, CONNECT, ALLOCATE, CALLS };

#define SHORT (-1) /* in place of an errno: one byte passes */

static struct {
    long count; /* calls so far */
    long from;  /* the first one that fails, counted from 1; 0 for none */
    long until; /* the last one */
    int error;
} plans[CALLS];

static int watching; /* calls are counted */
static int hits;
static int hit_ports[2]; /* the local and the remote port of the last socket hit; 0 where it has none */

void faults_arm(int call, long nth, int error, long count) {
    plans[call].from = nth;
    plans[call].until = nth + count - 1;
    plans[call].error = error;
}

void faults_begin(void) {
    memset(plans, 0, sizeof(plans));
    memset(hit_ports, 0, sizeof(hit_ports));
    hits = 0;
    watching = 1;
}

void faults_end(void) { watching = 0; }

long faults_count(int call) { return plans[call].count; }

int faults_hits(void) { return hits; }

int faults_port(int which) { return hit_ports[which]; }

/* What the C library would do. */
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int port_of(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port) : 0;
}

static int is_tcp(int fd) {
    int domain = 0, before = errno;
    socklen_t size = sizeof(domain);
    int found = !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && (domain == AF_INET || domain == AF_INET6);
    errno = before;
    return found;
}

/* Whose turn it is: 0, or the error that is to be. */
static int planned(enum call call) {
    long number;
    if (!watching) return 0;
    number = ++plans[call].count;
    if (!plans[call].from || number < plans[call].from || number > plans[call].until) return 0;
    hits++;
    return plans[call].error;
}

static int planned_on(enum call call, int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    int error, before = errno;
    if (!watching || !is_tcp(fd)) return 0;
    error = planned(call);
    if (error) {
        memset(&address, 0, sizeof(address));
        getsockname(fd, (struct sockaddr *)&address, &size);
        hit_ports[0] = port_of(&address);
        memset(&address, 0, sizeof(address));
        size = sizeof(address);
        REAL(getpeername)(fd, (struct sockaddr *)&address, &size);
        hit_ports[1] = port_of(&address);
        errno = before;
    }
    return error;
}

#define FAILS(call, fd)                            \
    int error = planned_on(call, fd);              \
    if (error > 0) {                               \
        errno = error;                             \
        return -1;                                 \
    }

ssize_t recv(int fd, void *data, size_t size, int flags) {
    FAILS(RECV, fd)
    return REAL(recv)(fd, data, error == SHORT && size ? 1 : size, flags);
}

ssize_t readv(int fd, const struct iovec *vector, int count) {
    FAILS(RECV, fd)
    if (error == SHORT) return REAL(recv)(fd, vector[0].iov_base, vector[0].iov_len ? 1 : 0, 0);
    return REAL(readv)(fd, vector, count);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    FAILS(SEND, fd)
    return REAL(send)(fd, data, error == SHORT && size ? 1 : size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    FAILS(SEND, fd)
    if (error == SHORT) return REAL(send)(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len ? 1 : 0, flags);
    return REAL(sendmsg)(fd, message, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
    FAILS(ACCEPT, fd)
    return REAL(accept4)(fd, address, size, flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    if (operation != EPOLL_CTL_DEL) { /* which needs nothing of the system */
        FAILS(EPOLL_CTL, fd)
    }
    return REAL(epoll_ctl)(epoll, operation, fd, event);
}

static int is_ours(const void *caller) {
    Dl_info about;
    return dladdr(caller, &about) && about.dli_fname && strstr(about.dli_fname, "/wsmash/_native/");
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    int error = is_ours(__builtin_return_address(0)) ? planned(EPOLL_WAIT) : 0;
    if (error > 0) {
        errno = error;
        return -1;
    }
    return REAL(epoll_wait)(epoll, events, error == SHORT ? 1 : most, timeout);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size) {
    FAILS(GETPEERNAME, fd)
    return REAL(getpeername)(fd, address, size);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    FAILS(SETSOCKOPT, fd)
    return REAL(setsockopt)(fd, level, name, value, size);
}

int shutdown(int fd, int how) {
    FAILS(SHUTDOWN, fd)
    return REAL(shutdown)(fd, how);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    int error = planned_on(CONNECT, fd), done;
    if (error > 0 && error != EINTR) {
        errno = error;
        return -1;
    }
    done = REAL(connect)(fd, address, size);
    if (error == EINTR && done < 0 && errno == EINPROGRESS) errno = EINTR;
    return done;
}

/* The C library's own names for these, so that `dlsym`, which allocates, is not asked for them. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

#define FAILS_TO_ALLOCATE()                                                                     \
    if (watching && is_ours(__builtin_return_address(0)) && planned(ALLOCATE) > 0) {            \
        errno = ENOMEM;                                                                         \
        return NULL;                                                                            \
    }

void *malloc(size_t size) {
    FAILS_TO_ALLOCATE()
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    FAILS_TO_ALLOCATE()
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    FAILS_TO_ALLOCATE()
    return __libc_realloc(memory, size);
}
