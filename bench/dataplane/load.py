"""Sends what a benchmark of the data plane measures, from a guest's namespace, and says what it cost.

  load.py echo ADDRESS            answers datagrams of 20 bytes on PORT of the address, for ever; others are not for it
  load.py send                    reads a line for each measurement, and answers it with a JSON object:
    first ADDRESS COUNT           COUNT datagrams, each the first one of its flow
    one ADDRESS MILLISECONDS      datagrams of one flow that nobody answers
    answered ADDRESS MILLISECONDS datagrams of one flow whose first one was answered
    few ADDRESS PORT              ten datagrams

  The answer: {"cpu": nanoseconds of this process, "sent": datagrams}. What a datagram does on its way through the host is done in
  the softirq of whoever sends it, and so is part of "cpu". sendmmsg(2) sends many at a time, so that little else is.
"""
import ctypes
import json
import os
import socket
import sys
import time

PORT = 5100
# Of first packets: destination ports from here on, as many from each socket.
FIRST, SPAN = 5101, 800
BATCH = 64
ASKED, TOLD = b"a" * 20, b"b" * 18

libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    """struct msghdr of sendmsg(2)."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Mmsghdr(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2)."""

    _fields_ = [("header", Msghdr), ("sent", ctypes.c_uint)]


PAYLOAD = ctypes.create_string_buffer(TOLD, len(TOLD))
IOVEC = Iovec(ctypes.cast(PAYLOAD, ctypes.c_void_p), len(TOLD))


def messages(names):
    """As many messages as there are names; a name is a struct sockaddr, or None for a connected socket."""
    made = (Mmsghdr * len(names))()
    for message, name in zip(made, names):
        header = message.header
        header.iov, header.iovlen = ctypes.pointer(IOVEC), 1
        if name is not None:
            header.name, header.namelen = ctypes.addressof(name), len(name)
    return made


def sockaddr(address, port):
    """struct sockaddr_in or sockaddr_in6, ip(7) and ipv6(7)."""
    is6 = ":" in address
    family = socket.AF_INET6 if is6 else socket.AF_INET
    packed = socket.inet_pton(family, address)
    text = family.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big")
    text += bytes(4) + packed + bytes(4) if is6 else packed + bytes(8)
    return ctypes.create_string_buffer(text, len(text))


def udp(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def send_all(sender, made):
    sent, size = 0, ctypes.sizeof(Mmsghdr)
    while sent < len(made):
        at = ctypes.byref(made, sent * size)
        count = libc.sendmmsg(sender.fileno(), at, len(made) - sent, 0)
        if count <= 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        sent += count
    return sent


def first(address, count):
    names = [sockaddr(address, FIRST + at) for at in range(SPAN)]
    made = messages(names)
    senders = [udp(address) for _ in range(-(-count // SPAN))]
    for sender in senders:
        sender.bind(("", 0))
    begin = time.process_time_ns()
    sent = sum(send_all(sender, made) for sender in senders)
    cost = time.process_time_ns() - begin
    for sender in senders:
        sender.close()
    return cost, sent


def stream(address, milliseconds, is_answered):
    sender = udp(address)
    sender.connect((address, PORT))
    if is_answered:
        sender.settimeout(5)
        sender.send(ASKED)
        sender.recv(64)
    made = messages([None] * BATCH)
    sent, end = 0, time.monotonic() + milliseconds / 1000
    begin = time.process_time_ns()
    while time.monotonic() < end:
        sent += send_all(sender, made)
    cost = time.process_time_ns() - begin
    sender.close()
    return cost, sent


def few(address, port):
    sender = udp(address)
    sender.connect((address, port))
    begin = time.process_time_ns()
    sent = send_all(sender, messages([None] * 10))
    cost = time.process_time_ns() - begin
    sender.close()
    return cost, sent


def measure(what, address, number):
    if what == "few":
        return few(address, number)
    if what == "first":
        return first(address, number)
    return stream(address, number, what == "answered")


def answer(address):
    listener = udp(address)
    listener.bind((address, PORT))
    print("listens", flush=True)
    while True:
        data, sender = listener.recvfrom(64)
        if data == ASKED:
            listener.sendto(data, sender)


def main():
    if sys.argv[1] == "echo":
        answer(sys.argv[2])
    for line in sys.stdin:
        what, address, number = line.split()
        cost, sent = measure(what, address, int(number))
        print(json.dumps({"cpu": cost, "sent": sent}), flush=True)


main()
