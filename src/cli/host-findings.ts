/** What this host's own firewall has to say about the doors, looked up at the start, at reloads, and again when it is old. */

import type { PosternConfig } from '../config/postern-config.ts';
import type { Face } from '../firewall/driver.ts';
import { type Finding, preflight } from '../firewall/preflight.ts';

/** Milliseconds after which somebody who asks has it looked up again. */
const GOOD_FOR = 30_000;

export class HostFindings {
  readonly #monotonicNow: () => number;
  #asked: { readonly config: PosternConfig; readonly face: Face; readonly at: number } | undefined;
  #findings: readonly Finding[] = [];

  constructor(monotonicNow: () => number) {
    this.#monotonicNow = monotonicNow;
  }

  async lookUp(config: PosternConfig, face: Face): Promise<readonly Finding[]> {
    const asked = { config, face, at: this.#monotonicNow() };
    this.#asked = asked;
    const found = await preflight(config.doors, face);
    // A later question has a later answer.
    if (this.#asked === asked) this.#findings = found;
    return found;
  }

  /** What was found last, worth an administrator's attention: a line each. */
  lines(): readonly string[] {
    const asked = this.#asked;
    if (asked && this.#monotonicNow() - asked.at > GOOD_FOR) void this.lookUp(asked.config, asked.face);
    return this.#findings
      .filter(({ severity }) => severity !== 'note')
      .map(({ message, hint }) => `${message} (hint: ${hint})`);
  }
}
