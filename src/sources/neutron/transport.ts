/** The address of a broker, as Neutron's `transport_url` has it. */

export interface BrokerAddress {
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  readonly isTls: boolean;
}

/** Of AMQP (IANA). */
const PORTS = { amqp: 5672, amqps: 5671 };

/**
 * @param text `rabbit://USER:PASSWORD@HOST:PORT[,USER:PASSWORD@HOST:PORT…]/VHOST[?ssl=1]`, as in oslo.messaging's documentation of `TransportURL`
 * @returns its brokers, one of which is enough; never none.
 * @throws Error with one line, without the text: it has a password in it.
 */
export function parseTransportUrl(text: string): readonly [BrokerAddress, ...BrokerAddress[]] {
  const [, hosts = '', path = '', query = ''] =
    /^rabbit:\/\/([^/?\s]+)(?:\/([^?\s]*))?(?:\?(\S*))?$/.exec(text.trim()) ?? [];
  const isTls = /^(1|true|yes|on)$/i.test(new URLSearchParams(query).get('ssl') ?? '');
  // An empty one is the broker's default, which is called so.
  const vhost = decoded(path) === '' ? '/' : decoded(path);
  const [first, ...others] = hosts.split(',').map((host): BrokerAddress => {
    const [, username = 'guest', password = '', hostname, port] =
      /^(?:([^:@]*):([^@]*)@)?(\[[0-9a-fA-F:.]+\]|[^:@[\]]+)(?::(\d{1,5}))?$/.exec(host) ?? [];
    const number = Number(port ?? PORTS[isTls ? 'amqps' : 'amqp']);
    if (hostname === undefined || number > 65_535) {
      throw new Error(
        'no transport URL: valid is rabbit://USER:PASSWORD@HOST:PORT/VHOST, as Neutron’s transport_url has it',
      );
    }
    return {
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: number,
      username: decoded(username),
      password: decoded(password),
      vhost,
      isTls,
    };
  });
  if (first === undefined) throw new Error('no broker in the transport URL');
  return [first, ...others];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
