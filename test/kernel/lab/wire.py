"""Sends raw Ethernet frames and reports which frames arrive, for the kernel tier: Node has no raw sockets.

Runs in the namespace of the guests. Arguments: names of devices. Standard input: one JSON list a line of
[device, frame in hexadecimal]; standard output: one JSON list a line of [device, frame in hexadecimal] that arrived while
and shortly after these were sent.
"""
import json
import os
import select
import socket
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4
# Where everything is emulated packets take longer.
SETTLE_SECONDS = float(os.environ.get('PORTCULLIS_SETTLE_SECONDS', '0.15'))

sockets = {}
for device in sys.argv[1:]:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind((device, 0))
    sock.setblocking(False)
    sockets[device] = sock


def drain(timeout):
    arrived = []
    while True:
        readable, _, _ = select.select(list(sockets.values()), [], [], timeout)
        if not readable:
            return arrived
        for device, sock in sockets.items():
            if sock in readable:
                frame, address = sock.recvfrom(65535)
                if address[2] != PACKET_OUTGOING:
                    arrived.append([device, frame.hex()])


print('ready', flush=True)
for line in sys.stdin:
    arrived = []
    for number, (device, frame) in enumerate(json.loads(line)):
        sockets[device].send(bytes.fromhex(frame))
        if number % 64 == 63:
            arrived += drain(0)
    arrived += drain(SETTLE_SECONDS)
    print(json.dumps(arrived), flush=True)
