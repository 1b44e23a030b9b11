import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whereaboutsOf } from '../../src/config/whereabouts.ts';

const FILE = '/etc/postern/postern.toml';

test('socket and state are found whatever else is wrong with the file', () => {
  const state = '[state]\ndir = "/srv/postern"\n';
  const found = (text: string): readonly (string | undefined)[] => {
    const where = whereaboutsOf(text, FILE);
    return [where?.socket, where?.state];
  };
  for (const rest of [
    '',
    '[door.ssh]\nprotcet = 7\n',
    'broken',
    '[door.ssh\n',
    "x = '''\n",
    '[firewall]\nface = 7\n',
  ]) {
    assert.deepEqual(
      found(`${state}[control]\nsocket = "/run/p.sock"\n${rest}`),
      ['/run/p.sock', '/srv/postern'],
      rest,
    );
    assert.deepEqual(found(state + rest), ['/srv/postern/control.sock', '/srv/postern'], rest);
    assert.deepEqual(found(rest), ['/var/lib/postern/control.sock', '/var/lib/postern'], rest);
  }
});

test('the network of IPv6 sources is as usual unless the file has a right word for it', () => {
  const prefix = (text: string): number | undefined => whereaboutsOf(text, FILE)?.ipv6Prefix;
  assert.deepEqual(
    [prefix(''), prefix('[firewall]\nipv6_prefix = 56\n'), prefix('[firewall]\nipv6_prefix = 900\n')],
    [64, 56, 64],
  );
});
