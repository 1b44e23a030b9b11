import { firewallContract } from '../support/firewall-contract.ts';
import { openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';

const skip = unavailable('nft', 'ss');

firewallContract('nftables', skip, () => openNamespaceStage('nftables'));
