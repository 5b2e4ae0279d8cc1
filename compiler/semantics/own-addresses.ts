/** What a port may send from, and as: its fixed IPs, its allowed address pairs, and the link-local addresses of its MACs. */
import {
  covers,
  eui64LinkLocalNumber,
  makePrefix,
  type Family,
  type IpPacket,
  type Mac,
  type Port,
  type Prefix,
} from '../model/index.js';

export function isOwnMac(port: Port, mac: string): boolean {
  return port.mac === mac || port.allowedAddressPairs.some((pair) => pair.mac === mac);
}

function ownPairs(port: Port): readonly { readonly mac: Mac; readonly prefix: Prefix }[] {
  const macs = [port.mac, ...port.allowedAddressPairs.map((pair) => pair.mac)];
  return [
    ...port.fixedIps.map((prefix) => ({ mac: port.mac, prefix })),
    ...port.allowedAddressPairs,
    ...macs.map((mac) => ({ mac, prefix: makePrefix('IPv6', eui64LinkLocalNumber(mac), 128) })),
  ];
}

export function isOwnSource(port: Port, mac: string, address: Prefix): boolean {
  return ownPairs(port).some((pair) => pair.mac === mac && covers(pair.prefix, address));
}

export function isOwnTarget(port: Port, { transport }: IpPacket): boolean {
  const target = transport.kind === 'icmp' ? transport.target : undefined;
  return target !== undefined && ownPairs(port).some((pair) => covers(pair.prefix, target));
}

/** True when the port has a fixed IP or an allowed address pair of the family. */
export function hasFamily(port: Port, family: Family): boolean {
  return [...port.fixedIps, ...port.allowedAddressPairs.map((pair) => pair.prefix)].some(
    (prefix) => prefix.family === family,
  );
}

/** The MAC that goes with an address of a port: its own, that of the pair that allows the address, or whose link-local one it is. */
export function macFor(port: Port, address: Prefix): Mac {
  if (port.fixedIps.some((fixed) => fixed.text === address.text)) return port.mac;
  return ownPairs(port).find(({ prefix }) => covers(prefix, address))?.mac ?? port.mac;
}
