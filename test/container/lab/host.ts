/** A host: a container of the image, with systemd in it, and ports as namespaces inside. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { StartedNetwork, StartedTestContainer } from 'testcontainers';
import type { Port } from '../../../compiler/model/index.js';
import { lastLines, within } from '../../support/waiting.js';
import type { Attempt, Command } from './inside.js';
import { startMachine } from './systemd.js';

const INSIDE = '/usr/lib/portcullis/dist/test/container/lab/inside.js';
const UNITS = '/usr/lib/portcullis/systemd';

export class TestHost {
  #output = '';
  #inside: ChildProcessByStdio<Writable, Readable, null> | undefined;
  #lines: Interface | undefined;
  /** Of whoever waits for an answer. */
  #fail: (error: Error) => void = () => undefined;

  private constructor(
    readonly name: string,
    readonly container: StartedTestContainer,
    private readonly network: StartedNetwork,
    /** Of its device in the containers' network. */
    readonly v6: string,
  ) {}

  /** @param number of the host: 1, 2, ... */
  static async start(
    image: string,
    network: StartedNetwork,
    number: number,
    services: readonly number[],
  ): Promise<TestHost> {
    const name = `compute-${number.toString()}`;
    const container = await startMachine(image, network, name, {
      files: [{ source: 'dist/test/container/lab/inside.js', target: INSIDE }],
    });
    const v6 = `fd00:99::${number.toString()}`;
    const host = new TestHost(name, container, network, v6);
    try {
      await host.#prepare(services);
    } catch (error) {
      await host.stop();
      throw error;
    }
    return host;
  }

  async #prepare(services: readonly number[]): Promise<void> {
    (await this.container.logs()).on('data', (chunk: Buffer | string) => {
      this.#output += chunk.toString();
    });
    await this.run(`ip address add ${this.v6}/64 dev eth0 nodad`);
    await this.run(`cp ${UNITS}/*.service /etc/systemd/system/ && systemctl daemon-reload`);
    await this.run(`mkdir -p /etc/portcullis`);
    await this.write('/etc/portcullis/portcullis.yaml', 'agent:\n  source: file:/etc/portcullis/topology.json\n');
    await this.#startInside(services);
  }

  get v4(): string {
    return this.container.getIpAddress(this.network.getName());
  }

  /** Runs a shell command; fails when it does. */
  async run(command: string): Promise<string> {
    const { exitCode, output } = await this.container.exec(['sh', '-c', command]);
    if (exitCode !== 0) throw new Error(`${this.name}: ${command}: exit ${exitCode.toString()}: ${output}`);
    return output;
  }

  /** Writes a file as a careful writer does. */
  async write(path: string, content: string): Promise<void> {
    await this.container.copyContentToContainer([{ content, target: `${path}.next` }]);
    await this.run(`mv ${path}.next ${path}`);
  }

  async plug({ id, device, mac, fixedIps }: Port): Promise<void> {
    await this.#tell({ do: 'plug', id, device, mac, ips: fixedIps.map(({ text }) => text) });
  }

  /** Sends what is for a port on another host to that host. */
  async routeTo(port: Port, other: TestHost): Promise<void> {
    const routes = port.fixedIps.map(
      ({ family, text }) => `ip route replace ${text} via ${family === 'IPv4' ? other.v4 : other.v6} dev eth0`,
    );
    await this.run(routes.join(' && '));
  }

  /** @returns for each attempt whether it connected */
  async connect(attempts: readonly Attempt[]): Promise<readonly boolean[]> {
    return (await this.#tell({ do: 'connect', attempts })) as readonly boolean[];
  }

  /** What systemd and its services said last. */
  readonly said = (): string => lastLines(this.#output);

  async stop(): Promise<void> {
    this.#inside?.kill();
    await this.container.stop();
  }

  async #startInside(services: readonly number[]): Promise<void> {
    const command = ['exec', '-i', this.container.getId(), 'node', INSIDE, ...services.map(String)];
    const child = spawn('docker', command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#inside = child;
    child.once('exit', () => {
      this.#fail(new Error(`${this.name}: the guests ended`));
    });
    this.#lines = createInterface({ input: child.stdout });
    await this.#nextLine();
  }

  async #tell(command: Command): Promise<unknown> {
    const answer = this.#nextLine();
    this.#inside?.stdin.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await within(`${this.name} to ${command.do}`, answer, this.said)) as unknown;
  }

  async #nextLine(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#lines?.once('line', resolve);
    });
  }
}
