"""`native/output.h`, `native/reactor.h`, and what the engine calls of the system."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "output.h" nogil:
    enum:
        WS_VECTOR

    ctypedef struct ws_chunk:
        void *owner

    ctypedef struct ws_output:
        ws_chunk *first
        size_t size

    ctypedef struct ws_pool:
        pass

    uint8_t *ws_output_room(ws_output *, ws_pool *, size_t size)
    void ws_output_add(ws_output *, size_t size)
    int ws_output_refer(ws_output *, ws_pool *, void *owner, const uint8_t *data, size_t size)
    int ws_output_vector(const ws_output *, iovec *vector)
    int ws_output_taken(ws_output *, ws_pool *, size_t size, void **owners)
    bint ws_output_drop(ws_output *, ws_pool *, void **owner)
    void ws_pool_free(ws_pool *)


cdef extern from "reactor.h" nogil:
    enum:
        WS_EVENTS

    ctypedef struct ws_reactor:
        int epoll

    int ws_reactor_open(ws_reactor *)
    void ws_reactor_rest(ws_reactor *)
    void ws_reactor_close(ws_reactor *)
    int64_t ws_reactor_enter(ws_reactor *)
    void ws_reactor_leave(ws_reactor *, uint32_t slot)
    int ws_reactor_watch(ws_reactor *, uint32_t slot, int fd, uint32_t before, uint32_t events)
    int ws_reactor_poll(ws_reactor *, epoll_event *events)
    int64_t ws_reactor_slot(const ws_reactor *, const epoll_event *event)


cdef extern from "<sys/epoll.h>" nogil:
    const uint32_t EPOLLIN
    const uint32_t EPOLLOUT
    const uint32_t EPOLLHUP
    const uint32_t EPOLLERR

    struct epoll_event:
        uint32_t events


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

    ssize_t readv(int fd, const iovec *vector, int count)


cdef extern from "<sys/socket.h>" nogil:
    const int AF_INET
    const int AF_INET6
    const int IPPROTO_TCP
    const int MSG_NOSIGNAL
    const int SHUT_WR
    const int SOCK_CLOEXEC
    const int SOCK_NONBLOCK
    ctypedef unsigned int socklen_t

    struct sockaddr:
        unsigned short sa_family

    struct sockaddr_storage:
        unsigned short ss_family

    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    ssize_t recv(int fd, void *data, size_t size, int flags)
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)
    int getpeername(int fd, sockaddr *address, socklen_t *size)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int shutdown(int fd, int how)


cdef extern from "<netinet/tcp.h>" nogil:
    const int TCP_NODELAY


cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef extern from "<time.h>" nogil:
    const int CLOCK_MONOTONIC

    struct timespec:
        long tv_sec
        long tv_nsec

    int clock_gettime(int clock, timespec *now)
