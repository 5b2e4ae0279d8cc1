"""Sends UDP datagrams to ADDRESS PORT as fast as it can, until it is ended."""
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
sender = socket.socket(family, socket.SOCK_DGRAM)
sender.connect((address, port))
print("connected", flush=True)
while True:
    try:
        sender.send(b"x")
    except OSError:
        # A neighbour that is being asked for, a queue that is full: the next one.
        pass
