"""Sends raw Ethernet frames and reports which frames arrive, for the kernel tier: Node has no raw sockets.

Runs in the namespace of the guests. Arguments: two ends of a veth pair for fences, then names of devices. Standard input: one
JSON list a line of [device, frame in hexadecimal]; standard output: one JSON list a line of [device, frame in hexadecimal] that
arrived until these had gone all the way.

How it is known that a frame has gone all the way, without a clock: a veth device hands a frame to the queue of the processor that
sends it (netif_rx, net/core/dev.c), and each queue is worked off in order. A fence is a frame of ours that goes through such a
queue; once it has arrived, what was in that queue before it has been handed on. Each hop of a frame is one more queue.
"""
import json
import os
import select
import socket
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4
# A receive buffer beyond the limit of unprivileged sockets (socket(7)); missing in Python's module.
SO_RCVBUFFORCE = 33
# For local experiments (IEEE 802, clause 9.2.4): no rule and no protocol knows it.
FENCE = bytes(12) + b'\x88\xb5' + b'portcullis fence'.ljust(46, b'\0')
# From a guest to the host and from there to a guest; and as many again for what the host itself would answer.
HOPS = 4
# A processor's queue drops what is beyond net.core.netdev_max_backlog, 1000 frames.
BETWEEN_FENCES = 64


def packet_socket(device):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    sock.bind((device, 0))
    return sock


fence_in, fence_out = (packet_socket(device) for device in sys.argv[1:3])
sockets = {device: packet_socket(device) for device in sys.argv[3:]}
for sock in sockets.values():
    sock.setblocking(False)
processors = sorted(os.sched_getaffinity(0))


def fence():
    """Done when every frame that was sent before, from whichever processor, is where it ends."""
    for _ in range(HOPS):
        for processor in processors:
            os.sched_setaffinity(0, {processor})
            fence_in.send(FENCE)
            while True:
                frame, address = fence_out.recvfrom(len(FENCE))
                if frame == FENCE and address[2] != PACKET_OUTGOING:
                    break
    os.sched_setaffinity(0, processors)


def arrived():
    frames = []
    while True:
        readable, _, _ = select.select(list(sockets.values()), [], [], 0)
        if not readable:
            return frames
        for device, sock in sockets.items():
            if sock in readable:
                frame, address = sock.recvfrom(65535)
                if address[2] != PACKET_OUTGOING:
                    frames.append([device, frame.hex()])


print('ready', flush=True)
for line in sys.stdin:
    frames = []
    for number, (device, frame) in enumerate(json.loads(line)):
        sockets[device].send(bytes.fromhex(frame))
        if number % BETWEEN_FENCES == BETWEEN_FENCES - 1:
            fence()
            frames += arrived()
    fence()
    frames += arrived()
    print(json.dumps(frames), flush=True)
