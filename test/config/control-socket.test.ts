import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlSocketOf } from '../../src/config/control-socket.ts';

const FILE = '/etc/postern/postern.toml';

test('the socket is found whatever else is wrong with the file', () => {
  const named = '[state]\ndir = "/srv/postern"\n[control]\nsocket = "/run/p.sock"\n';
  for (const rest of ['', '[door.ssh]\nprotcet = 7\n', 'broken', '[door.ssh\n', "x = '''\n"]) {
    assert.equal(controlSocketOf(named + rest, FILE), '/run/p.sock', rest);
    assert.equal(
      controlSocketOf(named.replace(/\[control\]\n.*\n/, '') + rest, FILE),
      '/srv/postern/control.sock',
      rest,
    );
    assert.equal(controlSocketOf(rest, FILE), '/var/lib/postern/control.sock', rest);
  }
});
