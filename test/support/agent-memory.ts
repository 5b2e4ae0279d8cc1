/** An agent whose rules name a group of many members, as far as it keeps anything of them: everything but its process and the kernel. */
import { CLOCK } from '../../agent/clock.js';
import { Following } from '../../agent/following.js';
import { Desired } from '../../agent/desired.js';
import { IsolatedObjects } from '../../agent/isolated-objects.js';
import { groupId, groupRecord, hostName, portRecord, ruleRecord } from '../../bench/scale/cloud.js';
import { DEFAULT_OPTIONS } from '../../compiler/index.js';
import { isOnHost, type Port } from '../../compiler/model/index.js';
import { viewChanges, type RecordPair } from '../../src/api/topology/host-view.js';
import { TopologyFeed } from '../../src/sources/feed/feed.js';
import { HostView } from '../../src/sources/feed/host-view.js';
import { scopeOf, type Scope } from '../../src/sources/feed/scopes.js';

const HOST = 1;
const LOCAL_PORTS = 100;
/** Host 1 has ports of group 1, whose rules name group 0: members on other hosts. */
const [NAMED, OWN] = [0, 1];
/** Hosts that members are on. */
const HOSTS = 1000;

const nothing = (): void => undefined;

export class AgentMemory {
  readonly #view = new HostView(hostName(HOST));
  readonly #feed = new TopologyFeed('memory');
  readonly #desired = new Desired(isLocal, DEFAULT_OPTIONS, () => undefined);
  readonly #following: Following;
  #revision = 0;

  constructor(members: number) {
    const desired = this.#desired;
    const obedient = {
      live: desired.live,
      changeTopology: desired.change.bind(desired),
      setRevision: () => undefined,
    };
    const isolated = new IsolatedObjects(hostName(HOST), nothing);
    this.#following = new Following({ name: 'memory' }, isLocal, false, obedient, isolated, nothing, CLOCK);
    this.#load(members);
    this.#tell(true);
  }

  /** Elements of sets and maps that the kernel is to hold. */
  get elements(): number {
    return this.#desired.compiler.count().elements;
  }

  #load(members: number): void {
    const rules = [0, 1, 2, 3].map((rule) => ruleRecord(OWN, rule));
    const own = Array.from({ length: LOCAL_PORTS }, (_, port) => portRecord(10_000_000 + port, OWN, HOST));
    this.#view.load(scopeOf.host(hostName(HOST)), new Map());
    for (const group of [NAMED, OWN]) {
      this.#view.load(scopeOf.group(groupId(group)), new Map());
      this.#view.load(scopeOf.members(groupId(group)), new Map());
      this.#take([{ kind: 'security_group', before: undefined, after: groupRecord(group) }]);
    }
    this.#take([
      ...rules.map((rule): RecordPair => {
        const after = rule.remote_group_id === null ? rule : { ...rule, remote_group_id: groupId(NAMED) };
        return { kind: 'security_group_rule', before: undefined, after };
      }),
      ...own.map((after): RecordPair => ({ kind: 'port', before: undefined, after })),
    ]);
    for (let member = 0; member < members; member++) {
      this.#take([{ kind: 'port', before: undefined, after: portRecord(member, NAMED, 2 + (member % HOSTS)) }]);
    }
    const needed = this.#view.needed();
    for (const scope of [...this.#view.known].filter((one) => !needed.has(one))) this.#view.drop(scope);
  }

  /** As etcd tells it: keys and texts are strings of their own. */
  #take(pairs: readonly RecordPair[]): void {
    for (const [key, text] of viewChanges(pairs).writes) {
      const scope = `${key.split('/').slice(0, 2).join('/')}/` as Scope;
      if (!this.#view.has(scope)) continue;
      const name = Buffer.from(`/portcullis/view/${key}`).toString().slice(`/portcullis/view/${scope}`.length);
      this.#view.change(scope, name, text === undefined ? undefined : Buffer.from(text).toString());
    }
  }

  #tell(isWhole: boolean): void {
    const line = this.#view.line(this.#revision++, isWhole, 'a-store');
    this.#following.hear(this.#feed.take(line, this.#following.inForce, () => this.#view.allPorts()));
    this.#desired.compiler.take();
  }
}

function isLocal(port: Port): boolean {
  return isOnHost(port, hostName(HOST));
}
