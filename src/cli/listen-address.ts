/** Addresses to listen on, as they are typed. */
import { isIP } from 'node:net';
import type { Address } from '../api/api.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** `127.0.0.1:9696`, `[::1]:9696`, `unix:/run/portcullis/api.sock`. @throws CommandError */
export function listenAddress(option: string, text: string): Address {
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const [, bracketed, plain, port = ''] = /^(?:\[([0-9a-f:.]+)\]|([^:\s[\]]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new CommandError(
      EXIT.usage,
      `${option}: ${JSON.stringify(text)} is no address: valid is HOST:PORT, [IPV6]:PORT or unix:/PATH`,
    );
  }
  return { kind: 'tcp', host, port: Number(port) };
}

export function isLoopback(address: Address): boolean {
  switch (address.kind) {
    case 'unix':
      return true;
    case 'tcp':
      return (
        address.host === 'localhost' ||
        address.host === '::1' ||
        (isIP(address.host) === 4 && address.host.startsWith('127.'))
      );
  }
}
