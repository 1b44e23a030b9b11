/** The section [tarpit] of postern.toml, a part of `postern-schema.ts`. Left out it is off; without a key it is on, with the defaults. */

import * as v from 'valibot';
import { key, table } from './schema-parts.ts';
import { duration, wholeNumber } from './schema-values.ts';

/** Each is an open descriptor of one process. */
const MOST_HELD = 4096;

export const tarpit = v.pipe(
  table({
    port: v.optional(
      key(
        wholeNumber(1024, 65_535),
        'The local TCP port that banned sources are led to. Nothing else may use it, and to everybody else it is closed.',
        { aliases: ['listen'] },
      ),
      22_022,
    ),
    connections: v.optional(
      key(wholeNumber(1, MOST_HELD), 'How many connections are held at the same time; others are not answered.', {
        aliases: ['max', 'limit', 'max_connections'],
      }),
      256,
    ),
    per_source: v.optional(
      key(wholeNumber(1, MOST_HELD), 'How many of them one source may have, or one IPv6 network; more are reset.', {
        aliases: ['per_address', 'max_per_source'],
      }),
      8,
    ),
    every: v.optional(
      key(duration('100ms', '10m'), 'The pause between two lines.', { aliases: ['delay', 'interval', 'pause'] }),
      '10s',
    ),
    for: v.optional(
      key(duration('1s', '7d'), 'How long a connection is held at most.', { aliases: ['time', 'hold', 'duration'] }),
      '1h',
    ),
  }),
  v.description(
    'With this section TCP connections of banned sources are not dropped but held: they get a line of junk from time to time, and reach nothing. For nftables and iptables.',
  ),
);
