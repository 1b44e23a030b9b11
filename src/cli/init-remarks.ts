/** What `postern init` says at its end: what this host's own firewall would do to the door, where nobody applied it yet, and what starts the daemon at boot. */

import { preflight } from '../firewall/preflight.ts';
import { isSystemdHere } from '../platform/process.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { loadPosternToml } from './load-postern-toml.ts';

/** What `postern apply` would warn of, of this host's firewall; `file` is an absolute path. */
export async function hostRemarks(file: string): Promise<readonly string[]> {
  const { config } = loadPosternToml(file, { shownAs: file, strict: false });
  if (!config) return [];
  const found = await preflight(config.doors, config.firewall.face, config.firewall.driver);
  return found
    .filter(({ severity }) => severity !== 'note')
    .flatMap(({ message, hint }) => [`warning: ${message}`, `hint: ${hint}`]);
}

/** One line. Not with `--now`: that would put a file in force that nobody has confirmed. */
export function bootRemark(file: string, systemd = isSystemdHere()): string {
  if (!systemd) return 'It does not start with this machine by itself: doc/service.md has the service for it';
  if (file !== DEFAULT_CONFIG)
    return `It does not start with this machine by itself: its services read ${DEFAULT_CONFIG} (doc/service.md)`;
  return 'So that it starts with this machine: systemctl enable posternd postern-guard (doc/service.md)';
}
