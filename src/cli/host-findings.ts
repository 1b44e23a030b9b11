/** What this host's own firewall has to say about the doors, looked up at the start, at reloads, and again when it is old. */

import { type PosternConfig, tarpitPort } from '../config/postern-config.ts';
import type { Faced } from '../firewall/closed-port.ts';
import type { Face } from '../firewall/driver.ts';
import { listHost } from '../firewall/host-listing.ts';
import { type Finding, preflight } from '../firewall/preflight.ts';
import { judgeFace } from '../firewall/stale-face.ts';

/** Milliseconds after which somebody who asks has it looked up again: sooner where something was wrong that may be mended by now. */
const GOOD_FOR = 30_000;
const BAD_FOR = 5000;
/** Nobody waits longer than this for a firewall's programs; the next one to ask has what they said. */
const PATIENCE = 2000;

export interface HostFindingsPorts {
  /** What the closed ports of the guard in force were made to answer: another object for each time that this host was asked. */
  readonly made: () => Faced;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  readonly list?: typeof listHost;
  readonly look?: typeof preflight;
}

interface Asked {
  readonly config: PosternConfig;
  readonly face: Face;
  readonly made: Faced;
  readonly at: number;
}

export class HostFindings {
  readonly #ports: HostFindingsPorts;
  #asked: Asked | undefined;
  #findings: readonly Finding[] = [];
  /** Of closed ports that were made so: with the next guard it is over. */
  #stale: { readonly made: Faced; readonly findings: readonly Finding[] } | undefined;

  constructor(ports: HostFindingsPorts) {
    this.#ports = ports;
  }

  /** `list`: in the place of the usual one, for who has listed just now. */
  async lookUp(config: PosternConfig, face: Face, list = this.#ports.list ?? listHost): Promise<readonly Finding[]> {
    const { made, look = preflight, monotonicNow } = this.#ports;
    const asked = { config, face, made: made(), at: monotonicNow() };
    this.#asked = asked;
    const { doors, mode, firewall } = config;
    const { driver } = firewall;
    const listing = await list();
    const found = await look(doors, face, driver, tarpitPort(config), listing);
    const stale = await judgeFace({ doors, driver, observe: mode === 'observe', made: asked.made }, listing);
    // A later question has a later answer.
    if (this.#asked === asked) {
      this.#findings = found.filter(({ severity }) => severity !== 'note');
      this.#stale = { made: asked.made, findings: stale };
    }
    return [...found, ...stale];
  }

  /** What is worth an administrator's attention, the hint on a line of its own, to be copied as it is. */
  async lines(): Promise<readonly string[]> {
    const asked = this.#asked;
    const old = this.#known().length > 0 ? BAD_FOR : GOOD_FOR;
    if (asked && this.#ports.monotonicNow() - asked.at > old) {
      const { promise: tired, resolve } = Promise.withResolvers<void>();
      const cancel = this.#ports.after(PATIENCE, resolve);
      await Promise.race([this.lookUp(asked.config, asked.face), tired]);
      cancel();
    }
    return this.#known().map(({ message, hint }) => `${message}\nhint: ${hint}`);
  }

  #known(): readonly Finding[] {
    const { made, findings = [] } = this.#stale ?? {};
    return made === this.#ports.made() ? [...this.#findings, ...findings] : this.#findings;
  }
}
