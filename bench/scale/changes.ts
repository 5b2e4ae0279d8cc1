/**
 * Changes of a cloud's day, as many as are asked for and the same for the same seed. None has a host follow other scopes than before: who is
 * told of each of them is known beforehand, whatever the speed of anything.
 */
import type { Writer } from '../../src/api/writer.js';
import { portId, portRecord, randomNumbers, RULES_OF_GROUP, ruleId, ruleRecord, type Cloud } from './cloud.js';

export interface Change {
  readonly kind: 'port comes' | 'port goes' | 'address pair' | 'rule comes' | 'rule goes' | 'description';
  readonly group: number;
  /** Of the port; undefined where none is changed. */
  readonly host: number | undefined;
  readonly apply: (writer: Writer) => void;
}

/** Of all changes; the rest are descriptions, which concern no host. */
const SHARES = { port: 0.4, pair: 0.3, rule: 0.2 };

export function changesOf(cloud: Cloud, count: number): readonly Change[] {
  const random = randomNumbers(cloud.shape.seed + 1);
  const added: { readonly port: number; readonly group: number; readonly host: number }[] = [];
  const rules = new Map<number, number>();
  let next = cloud.portCount;
  return Array.from({ length: count }, (_, number): Change => {
    const old = Math.floor(random() * cloud.portCount);
    const [group, host] = [cloud.groupOf[old] ?? 0, cloud.hostOf[old] ?? 0];
    const record = cloud.portRecord(old);
    const choice = random();
    if (choice < SHARES.port) {
      // Ports come and go in pairs, beside one that stays: the host has the group already.
      const gone = added.length > 5 || random() < 0.5 ? added.shift() : undefined;
      if (gone !== undefined) {
        const apply = (writer: Writer): void => writer.delete('port', portId(gone.port));
        return { kind: 'port goes', group: gone.group, host: gone.host, apply };
      }
      const port = next++;
      added.push({ port, group, host });
      const apply = (writer: Writer): void => writer.put('port', portRecord(port, group, host));
      return { kind: 'port comes', group, host, apply };
    }
    if (choice < SHARES.port + SHARES.pair) {
      const address = `172.16.${(number >> 8) & 255}.${number & 255}`;
      const pairs = [{ ip_address: address, mac_address: record.mac_address }];
      const apply = (writer: Writer): void => writer.put('port', { ...record, allowed_address_pairs: pairs });
      return { kind: 'address pair', group, host, apply };
    }
    if (choice < SHARES.port + SHARES.pair + SHARES.rule) {
      const rule = rules.get(group);
      if (rule !== undefined) {
        rules.delete(group);
        const apply = (writer: Writer): void => writer.delete('security_group_rule', ruleId(group, rule));
        return { kind: 'rule goes', group, host: undefined, apply };
      }
      rules.set(group, RULES_OF_GROUP);
      const apply = (writer: Writer): void => writer.put('security_group_rule', ruleRecord(group, RULES_OF_GROUP));
      return { kind: 'rule comes', group, host: undefined, apply };
    }
    const apply = (writer: Writer): void => {
      const now = writer.view.get('port', record.id) ?? record;
      writer.put('port', { ...now, description: `change ${number}` });
    };
    return { kind: 'description', group, host: undefined, apply };
  });
}
