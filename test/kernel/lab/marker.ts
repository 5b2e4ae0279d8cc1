/** A port that exists on paper, and whose only allowed address pair says which version of the policy this is. */
import { HOST, type Rule } from './pair.js';

export const MARKER = { device: 'tapmarker00-00', mac: 'fa:16:3e:77:00:01' } as const;

/** 100.64.0.0/10 (RFC 6598): room for four million versions. */
const FIRST = 0x64_40_00_00;
const VERSIONS = 1 << 22;

export function markerPort(version: number): Rule {
  const address = FIRST + (version % VERSIONS);
  const bytes = [24, 16, 8, 0].map((shift) => (address >>> shift) & 255);
  return {
    id: MARKER.device.slice(3),
    mac_address: MARKER.mac,
    network_id: 'network',
    fixed_ips: [{ ip_address: '10.0.7.7' }],
    security_groups: [],
    'binding:host_id': HOST,
    allowed_address_pairs: [{ ip_address: bytes.join('.') }],
  };
}

/** @param address as a number; undefined for what is no marker */
export function versionOfMarker(address: number): number | undefined {
  const version = address - FIRST;
  return version >= 0 && version < VERSIONS ? version : undefined;
}
