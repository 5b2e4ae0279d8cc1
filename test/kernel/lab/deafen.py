"""deafen.py PID INODE...: sockets of a process hear nothing more: whatever they are sent is dropped by a filter that takes nothing.

The process itself notices nothing; the kernel does what it is asked, and its answers do not arrive.
"""
import ctypes
import os
import socket
import struct
import sys

PIDFD_OPEN, PIDFD_GETFD = 434, 438
SO_ATTACH_FILTER = 26

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


pid, inodes = int(sys.argv[1]), set(sys.argv[2:])
pidfd = call(PIDFD_OPEN, pid, 0)
found = 0
for name in os.listdir(f"/proc/{pid}/fd"):
    try:
        target = os.readlink(f"/proc/{pid}/fd/{name}")
    except FileNotFoundError:
        continue
    if target.removeprefix("socket:[").removesuffix("]") not in inodes:
        continue
    # A descriptor of the same socket: what is set on it is set.
    with socket.socket(fileno=call(PIDFD_GETFD, pidfd, int(name), 0)) as same:
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
        same.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    found += 1
if found != len(inodes):
    sys.exit(f"{found} of {len(inodes)} sockets found")
