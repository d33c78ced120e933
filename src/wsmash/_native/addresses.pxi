# Addresses, as the system gives them to Python.

cdef extern from *:
    """
    #include <netdb.h>
    #include <netinet/in.h>
    """
    struct sockaddr_in6:
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        unsigned int sin6_scope_id
    struct sockaddr_in:
        unsigned short sin_port
    int getnameinfo(
        const sockaddr *address, socklen_t size, char *host, socklen_t room, char *service, socklen_t service_room,
        int flags
    )
    int NI_NUMERICHOST
    unsigned short ntohs(unsigned short port)
    unsigned int ntohl(unsigned int number)


cdef _ip_address(sockaddr_storage *address):
    """What the system gives for it: host and port, and two numbers more for IPv6."""
    cdef char host[64]
    cdef sockaddr_in6 *six = <sockaddr_in6 *>address
    if getnameinfo(<sockaddr *>address, sizeof(sockaddr_in6), host, sizeof(host), NULL, 0, NI_NUMERICHOST):
        return None
    if address.ss_family == AF_INET6:
        return host.decode(), ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id
    return host.decode(), ntohs((<sockaddr_in *>address).sin_port)


cdef _address(int fd, bint peers):
    """The peer's or our own, or None where the peer is gone already."""
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    cdef int failed = (getpeername if peers else getsockname)(fd, <sockaddr *>&address, &size)
    if failed:
        return None
    if address.ss_family in (AF_INET, AF_INET6):
        return _ip_address(&address)
    sock = socket(fileno=fd)  # what the addresses of other families look like, Python knows
    try:
        return sock.getpeername() if peers else sock.getsockname()
    except OSError:
        return None
    finally:
        sock.detach()
