/**
 * Knock steps that the host's own rules lead elsewhere (DNAT, as of a published container port): whoever uses the service there knocks
 * without wanting to, and a step that something answers at looks like no other closed port.
 */

import type { DoorPolicy } from '../core/policy.ts';
import type { Probe } from './host-rules.ts';
import type { Finding } from './preflight.ts';

/** Steps are judged up to here, each once. */
const MOST_STEPS = 64;

/** Step by step, a warning for each that is led away; `ledTo` says where a packet may end. */
export function* lintLedSteps(
  doors: readonly DoorPolicy[],
  ledTo: (probe: Probe) => ReadonlySet<string>,
): Generator<readonly Finding[]> {
  const steps = new Map<string, { readonly probe: Omit<Probe, 'version'>; readonly door: string }>();
  for (const { name, knock } of doors) {
    for (const { protocol, port } of knock?.steps ?? []) {
      const step = `${protocol}/${port}`;
      if (!steps.has(step) && steps.size < MOST_STEPS) steps.set(step, { probe: { protocol, port }, door: name });
    }
  }
  for (const [step, { probe, door }] of steps) {
    const led = new Set(([4, 6] as const).flatMap((version) => [...ledTo({ version, ...probe })]));
    const message = `Step ${step} of door "${door}" is led to ${[...led].join(', ')} by this host's own rules (DNAT): whoever uses what is there knocks`;
    const hint = 'use a port in the steps that nothing else uses';
    yield led.size === 0 ? [] : [{ severity: 'warning', message, hint }];
  }
}
