/** What this host's own firewall has to say about the doors, looked up at the start, at reloads, and again when it is old. */

import { type PosternConfig, tarpitPort } from '../config/postern-config.ts';
import type { Face } from '../firewall/driver.ts';
import { type Finding, preflight } from '../firewall/preflight.ts';

/** Milliseconds after which somebody who asks has it looked up again: sooner where something was wrong that may be mended by now. */
const GOOD_FOR = 30_000;
const BAD_FOR = 5000;
/** Nobody waits longer than this for a firewall's programs; the next one to ask has what they said. */
const PATIENCE = 2000;

export interface HostFindingsPorts {
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  readonly look?: typeof preflight;
}

export class HostFindings {
  readonly #ports: HostFindingsPorts;
  #asked: { readonly config: PosternConfig; readonly face: Face; readonly at: number } | undefined;
  #findings: readonly Finding[] = [];

  constructor(ports: HostFindingsPorts) {
    this.#ports = ports;
  }

  async lookUp(config: PosternConfig, face: Face): Promise<readonly Finding[]> {
    const { look = preflight, monotonicNow } = this.#ports;
    const asked = { config, face, at: monotonicNow() };
    this.#asked = asked;
    const found = await look(config.doors, face, config.firewall.driver, tarpitPort(config));
    // A later question has a later answer.
    if (this.#asked === asked) this.#findings = found.filter(({ severity }) => severity !== 'note');
    return found;
  }

  /** What is worth an administrator's attention, the hint on a line of its own, to be copied as it is. */
  async lines(): Promise<readonly string[]> {
    const asked = this.#asked;
    const old = this.#findings.length > 0 ? BAD_FOR : GOOD_FOR;
    if (asked && this.#ports.monotonicNow() - asked.at > old) {
      const { promise: tired, resolve } = Promise.withResolvers<void>();
      const cancel = this.#ports.after(PATIENCE, resolve);
      await Promise.race([this.lookUp(asked.config, asked.face), tired]);
      cancel();
    }
    return this.#findings.map(({ message, hint }) => `${message}\nhint: ${hint}`);
  }
}
