import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Answer,
  type Answers,
  type HostAnswers,
  iptablesAnswer,
  iptablesTarget,
  nftAnswer,
  nftStatement,
  REFUSING,
  SILENT,
} from '../../src/firewall/answers.ts';
import { answersOf, refuses, type TcpAnswer, tcpAnswers } from '../../src/firewall/closed-port.ts';

const answer = fc.constantFrom<Answer>('drop', 'reset', 'icmp admin-prohibited', 'icmp port-unreachable');
const answers = fc.record<Answers>({ tcp: answer, midstream: answer, invalid: answer, udp: answer });
const host = fc.record<HostAnswers>({ 4: answers, 6: answers });
const face = fc.constantFrom('drop', 'reset', 'auto');

/** Which lines hold for a packet of this kind. */
const HOLDS: Readonly<Record<'tcp' | 'midstream' | 'invalid', readonly TcpAnswer['to'][]>> = {
  tcp: ['any'],
  midstream: ['midstream', 'any'],
  invalid: ['invalid', 'midstream', 'not new', 'any'],
};

test('the first line that holds for a packet gives it the answer of its kind, whichever lines are left out', () => {
  const invalidSyn: readonly TcpAnswer['to'][] = ['invalid', 'not new', 'any'];
  fc.assert(
    fc.property(face, host, fc.constantFrom(4, 6), (face, closed, version) => {
      const lines = tcpAnswers({ face, closed });
      const wanted = answersOf({ face, closed }, version);
      for (const kind of ['tcp', 'midstream', 'invalid'] as const) {
        assert.equal(lines.find(({ to }) => HOLDS[kind].includes(to))?.answer[version], wanted[kind]);
      }
      assert.equal(lines.find(({ to }) => invalidSyn.includes(to))?.answer[version], wanted.invalid);
      assert.equal(lines.at(-1)?.to, 'any');
    }),
  );
});

test('with `mirror` everything but the first packet of a session is answered, and nothing else', () => {
  const lines = tcpAnswers({ face: 'mirror', closed: { 4: REFUSING, 6: SILENT } });
  assert.deepEqual(lines, [{ to: 'not new', answer: { 4: 'reset', 6: 'drop' } }]);
});

test('firewalls that can refuse or drop refuse where everything of the protocol is refused, over both families', () => {
  const auto = (closed?: HostAnswers) =>
    (['tcp', 'udp'] as const).map((protocol) => refuses({ face: 'auto', ...(closed && { closed }) }, protocol));
  assert.deepEqual(auto(), [false, false]);
  assert.deepEqual(auto({ 4: REFUSING, 6: REFUSING }), [true, true]);
  assert.deepEqual(auto({ 4: REFUSING, 6: { ...REFUSING, udp: 'drop' } }), [true, false]);
  assert.deepEqual(auto({ 4: { ...REFUSING, invalid: 'drop' }, 6: REFUSING }), [false, true]);
  assert.deepEqual(auto({ 4: REFUSING, 6: SILENT }), [false, false]);
});

test('what is read of another rule is written as the same answer', () => {
  const names = [
    ...['net-unreachable', 'host-unreachable', 'prot-unreachable', 'port-unreachable'],
    ...['net-prohibited', 'host-prohibited', 'admin-prohibited'],
    ...['no-route', 'addr-unreachable', 'policy-fail', 'reject-route'],
  ];
  for (const version of [4, 6] as const) {
    const known = names.flatMap((name) => nftAnswer(version === 4 ? 'icmp' : 'icmpv6', name, version) ?? []);
    assert.equal(known.length, version === 4 ? 7 : 6);
    for (const each of [...known, 'reset'] as const) {
      const [, type = '', name = ''] =
        /^reject with (tcp reset|\S+)(?: type (\S+))?$/.exec(nftStatement(each, version)) ?? [];
      assert.equal(nftAnswer(type, name, version), each);
      assert.equal(iptablesAnswer(iptablesTarget(each, version).split(' ').at(-1) ?? '', version), each);
    }
  }
  assert.deepEqual(
    [nftAnswer('icmpx', 'no-route', 4), nftAnswer('icmpx', 'host-unreachable', 6)],
    ['icmp net-unreachable', 'icmp addr-unreachable'],
  );
  assert.equal(nftAnswer('icmpx', 'toString', 4), undefined);
});
