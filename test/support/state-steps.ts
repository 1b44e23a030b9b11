/** Changes of a state that follow from a number alone: who does them and who looks afterwards need to agree on nothing else. */

import type { CloseRow, CloseRows, GrantRow, GrantRows } from '../../src/store/rows.ts';
import type { State } from '../../src/store/state.ts';

/** What the steps leave in the tables that are changed in place. */
export interface Tables {
  readonly grants: GrantRows;
  readonly closes: CloseRows;
}

const KINDS = 6;
const KEYS = 7;

/** The entry that a step spends, if it does. */
export function entryOf(step: number): string | undefined {
  return step % KINDS === 4 ? `entry ${step}` : undefined;
}

/** The detail that a step writes into the history, if it does. */
export function detailOf(step: number): string | undefined {
  return step % KINDS === 5 ? `step ${step}` : undefined;
}

/** Does step number `step`, durably. */
export function takeStep(state: State, step: number): void {
  changeTables(state, step);
  const entry = entryOf(step);
  if (entry !== undefined) state.spent.spend(entry);
  const detail = detailOf(step);
  if (detail === undefined) return;
  state.history.append({ type: 'opened', detail });
  if (!state.history.flush()) throw new Error('the history was not written');
}

/** The part of a step that changes rows. */
export function changeTables({ grants, closes }: Tables, step: number): void {
  const key = { door: 'ssh', source: `10.0.0.${Math.floor(step / KINDS) % KEYS}` };
  const grant: GrantRow = { ...key, opened: step, until: step + 1, longest: 1, via: 'knock' };
  const close: CloseRow = { ...key, driver: 'pf', due: step, longest: 1 };
  switch (step % KINDS) {
    case 0:
      return grants.put(grant);
    case 1:
      return closes.put(close);
    case 2:
      return void grants.end({ door: 'ssh', source: `10.0.0.${step % KEYS}` });
    case 3:
      return void closes.end({ door: 'ssh', source: `10.0.0.${step % KEYS}` });
  }
}
