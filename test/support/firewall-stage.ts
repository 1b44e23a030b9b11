/** The stage of `firewall-contract.ts` in network namespaces, with a driver inside the server's. */

import { BOB, FAR_6, type FirewallStage, NEAR_6, TCP_PORTS, UDP_PORT } from './firewall-contract.ts';
import { createTopology, type Host } from './netns.ts';
import { type Peer, startPeer } from './peer.ts';
import { type RemoteFirewall, startFirewall } from './remote-firewall.ts';

export interface NamespaceStage extends FirewallStage {
  readonly hosts: Readonly<Record<'server' | 'client' | 'container', Host>>;
  readonly firewall: RemoteFirewall;
  readonly client: Peer;
}

/** The container is a host behind the server: 10.77.2.2, fd77:0:0:2::2. Nothing is forwarded unless the test says so. */
export async function openNamespaceStage(name: string): Promise<NamespaceStage> {
  const topology = await createTopology({
    links: [
      ['server', 'client'],
      ['server', 'container'],
    ],
  });
  const { server, client } = topology.hosts;
  const addresses = [`address add ${BOB}/24`, `address add ${NEAR_6}/64`, `address add ${FAR_6}/64`];
  for (const words of addresses) {
    const nodad = words.includes(':') ? ['nodad'] : [];
    await client.exec(['ip', ...words.split(' '), 'dev', 'eth0', ...nodad]);
  }
  await server.exec(['ip', 'route', 'add', 'fd78::/64', 'via', client.address6]);
  const mac = client.interfaces[0]!.mac;
  for (const address of [BOB, NEAR_6]) {
    await server.exec(['ip', 'neighbour', 'replace', address, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent']);
  }
  const echo = startPeer(server);
  await Promise.all([...TCP_PORTS.map((port) => echo.listen('tcp', port)), echo.listen('udp', UDP_PORT)]);
  const peer = startPeer(client);
  const firewall = startFirewall(server, name);
  const to = (source: string): string => (source.includes(':') ? server.address6 : server.address4);
  return {
    hosts: topology.hosts,
    driver: firewall.driver,
    firewall,
    client: peer,
    restart: () => startFirewall(server, name).driver,
    connect: (source, port) => peer.connect({ source, destination: to(source), port }),
    ask: (source, port) => peer.ask({ source, destination: to(source), port }),
    begin: (source, port) => peer.begin({ source, destination: to(source), port }),
    close: () => topology.close(),
  };
}
