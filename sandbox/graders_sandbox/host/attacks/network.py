"""Attacks on the network: rows 1 to 7."""

from __future__ import annotations

from .matrix import NO_SOCKET, AttackCase

NETWORK = [
    AttackCase(1, "connect TCP", NO_SOCKET, "return met(socket.create_connection, ('127.0.0.1', item['tcp']), 2)"),
    AttackCase(1, "send UDP", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', item['udp'])))"),
    AttackCase(1, "listen", NO_SOCKET, "return met(socket.create_server, ('127.0.0.1', 0))"),
    AttackCase(1, "the raw call", NO_SOCKET, "return met(call, (41, 198), 2, 1, 0)"),
    AttackCase(1, "multipath TCP", NO_SOCKET, "return met(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262)"),
    AttackCase(1, "resolve a name", "NOTHING", "try:\n    socket.getaddrinfo('example.com', 80)\nexcept socket.gaierror:\n    return NOTHING\nreturn THROUGH"),
    AttackCase(1, "a client of asyncio", NO_SOCKET, "return met(asyncio.run, asyncio.wait_for(asyncio.open_connection('127.0.0.1', item['tcp']), 2))"),
    AttackCase(2, "connect TCP", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(('::1', item['tcp6'])))"),
    AttackCase(2, "UDP", NO_SOCKET, "return met(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)"),
    AttackCase(2, "listen", NO_SOCKET, "return met(lambda: socket.create_server(('::', 0), family=socket.AF_INET6))"),
    AttackCase(3, "connect", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).connect(item['socket']))"),
    AttackCase(3, "connect one end of a pair", "EPERM", "a, b = socket.socketpair()\npath = item['socket'].encode()\nreturn met(call, (42, 203), a.fileno(), struct.pack('H', 1) + path, 2 + len(path))"),
    AttackCase(3, "bind one end of a pair", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (49, 200), a.fileno(), struct.pack('H', 1) + b'own', 5)"),
    AttackCase(3, "accept on one end of a pair", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(call, (50, 201), a.fileno(), 1), (call, (43, 202), a.fileno(), None, None), (call, (288, 242), a.fileno(), None, None, 0)])"),
    AttackCase(4, "connect", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + item['abstract']))"),
    AttackCase(4, "listen", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX).bind('\\0own'))"),
    AttackCase(4, "send a datagram", NO_SOCKET, "return met(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '\\0' + item['abstract'] + '-datagram'))"),
    AttackCase(5, "a pair of datagram sockets", "EPERM", "return met(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '\\0' + item['abstract'] + '-datagram'))"),
    AttackCase(5, "the same with flags", "EPERM", "return all_met([(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM | flag) for flag in (socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK)])"),
    AttackCase(5, "a pair of packet sockets", "EPERM", "return met(socket.socketpair, socket.AF_UNIX, socket.SOCK_SEQPACKET)"),
    AttackCase(5, "a pair of raw sockets", "EPERM", "return met(socket.socketpair, socket.AF_UNIX, socket.SOCK_RAW)"),
    AttackCase(5, "pairs of other families", "EPERM", "return all_met([(call, (53, 199), family, 1, 0, ctypes.create_string_buffer(8)) for family in (2, 10, 16, 17, 30, 40)])"),
    AttackCase(5, "a stream pair with an address", "EISCONN or EPERM", "return met(lambda: socket.socketpair()[0].sendto(b'x', '\\0' + item['abstract']))"),
    AttackCase(5, "many messages with an address", "EPERM", "a, b = socket.socketpair()\nreturn met(call, (307, 269), a.fileno(), bytes(64), 1, 0)"),
    *(
        AttackCase(6, name, NO_SOCKET, f"return met(call, (41, 198), {family}, {kind}, {protocol})")
        for name, family, kind, protocol in (
            ("vsock", 40, 1, 0), ("netlink route", 16, 3, 0), ("netlink audit", 16, 3, 9), ("netlink uevents", 16, 3, 15),
            ("packet", 17, 3, 0x0300), ("raw IP", 2, 3, 1), ("ping", 2, 2, 1), ("crypto", 38, 5, 0), ("bluetooth", 31, 3, 1),
            ("express data path", 44, 3, 0), ("CAN", 29, 3, 1), ("TIPC", 30, 1, 0), ("key", 15, 3, 2), ("SMC", 43, 1, 0),
        )
    ),
    *(AttackCase(7, name, "EPERM", f"return met(call, {number}, 8, bytes(120), 0, 0, 0, 0)") for name, number in (("set up", 425), ("enter", 426), ("register", 427))),
    AttackCase(63, "credentials by a pair", "NOTHING", "a, b = socket.socketpair()\npid = struct.unpack('3i', a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]\nassert pid in (0, os.getpid()), pid\nreturn NOTHING"),
    AttackCase(63, "a process by its peer", "EPERM or NOTHING", "a, b = socket.socketpair()\ntry:\n    (peer,) = struct.unpack('i', a.getsockopt(socket.SOL_SOCKET, 77, 4))\nexcept OSError:\n    return NOTHING\nreturn all_met([(call, 424, peer, 9, None, 0), (call, 438, peer, 0, 0)])"),
    AttackCase(63, "credentials of another", "EPERM", "a, b = socket.socketpair()\nreturn met(a.sendmsg, [b'x'], [(socket.SOL_SOCKET, 2, struct.pack('3i', os.getppid() or 1, 0, 0))])"),
    AttackCase(63, "the server's end of the result", "ENOTSOCK or EPERM", "return all_met([(lambda: socket.socket(fileno=os.dup(3)).getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12),)])"),
    AttackCase(63, "an address beside the peer", "EISCONN or EPERM", "a, b = socket.socketpair()\nreturn met(a.sendto, b'x', '\\0' + item['abstract'])"),
    AttackCase(63, "options of a pair that need privileges", "EPERM", "a, b = socket.socketpair()\nreturn all_met([(a.setsockopt, socket.SOL_SOCKET, option, 1 << 20) for option in (32, 33)])"),
]  # fmt: skip
