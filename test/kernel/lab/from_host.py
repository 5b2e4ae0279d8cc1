"""Sends one IP packet as the host itself: by a raw socket bound to a device, so that it passes output and postrouting.

Arguments: device, packet in hexadecimal from the IP header on (see raw(7), IP_HDRINCL; ipv6(7), IPPROTO_RAW).
"""
import ipaddress
import socket
import sys

device, packet = sys.argv[1], bytes.fromhex(sys.argv[2])
version = packet[0] >> 4
family = socket.AF_INET if version == 4 else socket.AF_INET6
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b'\0')
destination = packet[16:20] if version == 4 else packet[24:40]
address = (str(ipaddress.ip_address(destination)), 0)
if version == 4:
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
else:
    address += (0, socket.if_nametoindex(device))
try:
    raw.sendto(packet, address)
except PermissionError:
    pass  # The kernel tells a local sender of a drop so; the far end says whether the packet came through.
