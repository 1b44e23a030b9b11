/** What a guard's closed ports answer: the one place that knows what each face stands for. */

import type { Family } from '../core/address.ts';
import { type Answer, type Answers, REFUSING, SILENT } from './answers.ts';
import type { Guard } from './driver.ts';

/** What of a guard says what its closed ports answer. */
export type Faced = Pick<Guard, 'face' | 'closed'>;

/** One line of what is answered to TCP: the first that holds is it, and the last one always holds. */
export interface TcpAnswer {
  readonly to: 'established' | 'invalid' | 'midstream' | 'not new' | 'any';
  readonly answer: Readonly<Record<Family, Answer>>;
}

/** What closed ports answer over this family. With `mirror`, only to what can not be handed to the host. */
export function answersOf({ face, closed }: Faced, version: Family): Answers {
  if (face === 'drop' || face === 'reset') return face === 'drop' ? SILENT : REFUSING;
  return closed?.[version] ?? SILENT;
}

/** The lines for TCP, as few as say it. */
export function tcpAnswers(guard: Faced, ...before: readonly TcpAnswer[]): TcpAnswer[] {
  const of = (kind: 'tcp' | 'midstream' | 'invalid'): TcpAnswer['answer'] => ({
    4: answersOf(guard, 4)[kind],
    6: answersOf(guard, 6)[kind],
  });
  const lines: TcpAnswer[] = [...before];
  // Only the first packet of a flow goes through NAT: all others have to be answered here.
  if (guard.face === 'mirror') lines.push({ to: 'not new', answer: of('invalid') });
  else {
    lines.push({ to: 'invalid', answer: of('invalid') }, { to: 'midstream', answer: of('midstream') });
    lines.push({ to: 'any', answer: of('tcp') });
  }
  const same = (x: TcpAnswer, y: TcpAnswer): boolean => x.answer[4] === y.answer[4] && x.answer[6] === y.answer[6];
  return lines.filter((line, at) => at === lines.length - 1 || lines.slice(at).some((next) => !same(line, next)));
}

/** Is everything refused as a host without a firewall does? For firewalls that can do that or drop, and nothing else. */
export function refuses(guard: Faced, protocol: 'tcp' | 'udp'): boolean {
  const kinds = protocol === 'tcp' ? (['tcp', 'midstream', 'invalid'] as const) : (['udp'] as const);
  return ([4, 6] as const).every((version) =>
    kinds.every((kind) => answersOf(guard, version)[kind] === REFUSING[kind]),
  );
}

/** Is nothing of this protocol answered? Not so with `mirror`: there the host does. */
export function isSilent(guard: Faced, protocol: 'tcp' | 'udp'): boolean {
  if (guard.face === 'mirror' && protocol === 'tcp') return false;
  const kinds = protocol === 'tcp' ? (['tcp', 'midstream', 'invalid'] as const) : (['udp'] as const);
  return ([4, 6] as const).every((version) => kinds.every((kind) => answersOf(guard, version)[kind] === 'drop'));
}
