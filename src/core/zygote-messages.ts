/**
 * What the keeper asks of its zygote, and what it is told: a JSON object a packet. Neither side of this reads anything of strangers; orders are read
 * strictly all the same, so that a captured keeper gets nothing from it but another process in a cage, and never one that stays root.
 * The descriptors of a program travel beside its order: standard error, the channel, then those that its arguments number from 4 on.
 */

/** The confined programs, by their rooms. */
export type CagedProgram = 'watcher' | 'tarpit';

export type ZygoteOrder =
  | {
      readonly type: 'start';
      readonly number: number;
      readonly program: CagedProgram;
      /** Who it is to become. */
      readonly account: { readonly uid: number; readonly gid: number };
      readonly args: readonly string[];
    }
  | { readonly type: 'kill'; readonly number: number };

export type ZygoteReport =
  | { readonly type: 'ready' }
  | { readonly type: 'started'; readonly number: number; readonly pid: number }
  | {
      readonly type: 'ended';
      readonly number: number;
      readonly ending: { readonly status: number } | { readonly signal: string } | { readonly failed: string };
    };

/** The longest packet, in bytes: what it carries is shorter by far. */
export const LONGEST_ZYGOTE_MESSAGE = 16_384;

export function encodeZygoteMessage(message: ZygoteOrder | ZygoteReport): string {
  return JSON.stringify(message);
}

/** Throws for what is none. */
export function decodeZygoteOrder(text: string): ZygoteOrder {
  const order: unknown = JSON.parse(text);
  if (!isRecord(order) || !isCount(order.number)) throw new Error('Not an order to a zygote');
  const { type, number, program, account, args } = order;
  if (type === 'kill') return { type, number };
  if (
    type !== 'start' ||
    !(program === 'watcher' || program === 'tarpit') ||
    !(isRecord(account) && isCount(account.uid) && isCount(account.gid)) ||
    !(Array.isArray(args) && args.every((arg) => typeof arg === 'string'))
  )
    throw new Error('Not an order to a zygote');
  return { type, number, program, account: { uid: account.uid, gid: account.gid }, args };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** From 1 on: nobody here is numbered 0, least of all a user. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** Throws for what is none. */
export function decodeZygoteReport(text: string): ZygoteReport {
  const report = JSON.parse(text) as ZygoteReport;
  if (!['ready', 'started', 'ended'].includes(report.type)) throw new Error('Not a report of a zygote');
  return report;
}
