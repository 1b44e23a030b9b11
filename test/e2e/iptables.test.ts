import { firewallContract } from '../support/firewall-contract.ts';
import { openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';

for (const backend of ['nft', 'legacy'] as const) {
  const name = `iptables-${backend}`;
  const skip = unavailable('ipset', 'ss', `${name}-restore`, `ip6tables-${backend}-restore`);
  firewallContract(name, skip, () => openNamespaceStage(name));
}
