/**
 * What would keep honest people out, as far as a configuration and this host tell: knocks that nobody hears, doors that nobody can knock on,
 * one way in only. `postern doctor` looks at it, and `postern apply` before it closes anything.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import { isLoopback, parseAddress, printAddress } from '../core/address.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { interfacesWith } from '../platform/interfaces.ts';
import { type Diagnosis, ok, warning } from './diagnosis.ts';
import { callersSession } from './ssh-session.ts';
import type { Terminal } from './terminal.ts';
import { count } from './wording.ts';

/** Are knocks heard where people come in? */
export function* judgeInterfaces(
  { capture, doors }: Pick<PosternConfig, 'capture' | 'doors'>,
  { environment }: Pick<Terminal, 'environment'>,
): Generator<Diagnosis> {
  for (const { name, knock } of doors) {
    if (knock?.target === undefined || interfacesWith(knock.target).length > 0) continue;
    yield warning(
      'interface',
      `No knock on ${name} is heard: its target, ${printAddress(knock.target)}, is no address of this host`,
      `Leave target out of [door.${name}.knock], or name an address of this host`,
    );
  }
  const outward = defaultRouteInterfaces();
  const chosen = capture.interfaces.length > 0 ? capture.interfaces : outward;
  const session = callersSession(environment);
  const address = session && parseAddress(session.server);
  // Who comes from this machine itself needs no knock.
  const server = address && !isLoopback(address) ? address : undefined;
  const inward = server ? interfacesWith(server) : [];
  const wanted = [...new Set([...chosen, ...inward, ...outward])];
  const hint = `Write interfaces = [${wanted.map((name) => `"${name}"`).join(', ')}] in [capture]`;
  if (chosen.includes('any')) return yield ok('interface', 'knocks are heard on every interface');
  if (server && !inward.some((name) => chosen.includes(name))) {
    const where = inward.length > 0 ? inward.join(', ') : 'no interface here';
    yield warning(
      'interface',
      `This session came in at ${printAddress(server)}, which is on ${where}, and knocks are heard on ${chosen.join(', ')}: those from there are not`,
      inward.length > 0 ? hint : 'Write interfaces = ["any"] in [capture]',
    );
  } else if (outward.length > 0 && !outward.some((name) => chosen.includes(name))) {
    yield warning(
      'interface',
      `Knocks are heard on ${chosen.join(', ')}, and the way out is ${outward.join(', ')}`,
      hint,
    );
  } else yield ok('interface', `knocks are heard on ${chosen.join(', ') || 'every interface'}`);
}

/** With one way in, one mistake is enough. */
export function* judgeWaysIn({ doors, allow }: PosternConfig, shown: string): Generator<Diagnosis> {
  const closed = doors.filter(({ knock }) => knock === undefined).map(({ name }) => name);
  if (closed.length > 0)
    yield warning(
      'way in',
      `Nobody can knock on ${closed.join(', ')}`,
      'Add steps, or open by hand: postern open DOOR SOURCE',
    );
  if (doors.length === 0) return;
  if (allow.length > 0) yield ok('way in', `trusted besides who knocks: ${count(allow.length, 'network')}`);
  else
    yield warning(
      'way in',
      'A knock is the only way in',
      `Trust an address of yours: allow = ["192.0.2.7"] at the top of ${shown}, or keep a console at hand`,
    );
}
