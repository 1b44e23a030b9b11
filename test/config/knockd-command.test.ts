import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readFirewallCommand, readSetCommand } from '../../src/config/knockd-command.ts';
import { printPorts } from '../../src/config/ports.ts';

/** `open tcp/22`, with what narrows it. */
function brief(command: string): string | undefined {
  const read = readFirewallCommand(command);
  return read && [read.action, ...read.ports.map(printPorts), ...read.narrowed].join(' ');
}

describe('readFirewallCommand()', () => {
  for (const [command, expected] of [
    ['/sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT', 'open tcp/22'],
    ['/sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT', 'close tcp/22'],
    ['iptables -I INPUT 1 -p tcp -s %IP% --dport ssh -j ACCEPT', undefined],
    ['sudo -n iptables -w -I INPUT 1 -s %IP%/32 -p udp -m udp --dport 51820 -j ACCEPT', 'open udp/51820'],
    ['iptables -w 5 -I INPUT -s %IP% -p tcp --dport 8000:8010 -m state --state NEW -j ACCEPT', 'open tcp/8000-8010'],
    [
      'iptables -I INPUT -s %IP% -p tcp -m multiport --dports 443,80 -m comment --comment "by knock" -j ACCEPT',
      'open tcp/80 tcp/443',
    ],
    ['iptables --insert INPUT --source %IP% --protocol tcp --destination-port 22 --jump ACCEPT', 'open tcp/22'],
    ['iptables -A INPUT -i eth0 -s %IP% -d 192.0.2.1 -p tcp --dport 22 -j ACCEPT', 'open tcp/22 -i eth0 -d 192.0.2.1'],
    [
      'iptables -A IN -s %IP% -p tcp --dport 22 -j ACCEPT; ip6tables -A IN -s %IP% -p tcp --dport 22 -j ACCEPT',
      'open tcp/22',
    ],
    [
      'iptables -A IN -s %IP% -p tcp --dport 22 -j ACCEPT && iptables -A IN -s %IP% -p tcp --dport 23 -j ACCEPT',
      undefined,
    ],
    ['iptables -A INPUT -s %IP% -j ACCEPT', undefined],
    ['iptables -A INPUT -s %IP% -p tcp --dport 22 -j DROP', undefined],
    ['iptables -A INPUT -p tcp --dport 22 -j ACCEPT', undefined],
    ['iptables -A INPUT ! -s %IP% -p tcp --dport 22 -j ACCEPT', undefined],
    ['iptables -A INPUT -s %IP% -p tcp ! --dport 22 -j ACCEPT', undefined],
    ['iptables -A INPUT -s %IP% -p tcp --dport 22 -m limit --limit 5/s -j ACCEPT', undefined],
    ['iptables -t nat -A PREROUTING -s %IP% -p tcp --dport 22 -j ACCEPT', undefined],
    ['iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT | cat', undefined],
    ['iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT &', undefined],
    ['nft add rule inet filter input ip saddr %IP% tcp dport 22 accept', 'open tcp/22'],
    ['nft insert rule ip filter input ip saddr %IP% tcp dport { 80, 443 } ct state new accept', 'open tcp/80 tcp/443'],
    ['ufw allow from %IP% to any port 22 proto tcp', 'open tcp/22'],
    ['ufw insert 1 allow from %IP% to any port 22', 'open tcp/22 udp/22'],
    ['ufw delete allow from %IP% to any port 22 proto tcp', 'close tcp/22'],
    ['/usr/local/sbin/knock_add -i -c INPUT -p tcp -d 443 -f %IP%', undefined],
    ['', undefined],
    ['echo "iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT"', undefined],
  ] as const) {
    test(`reads ${JSON.stringify(command)} as ${expected ?? 'none'}`, () => assert.equal(brief(command), expected));
  }

  test('comes to an end on any command', () => {
    const word = fc.constantFrom(
      'iptables',
      '-A',
      '-s',
      '%IP%',
      '-p',
      'tcp',
      '--dport',
      '22',
      '-j',
      'ACCEPT',
      ';',
      '&&',
      "'",
      '"',
      '{',
      '}',
      'nft',
      'ufw',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        readFirewallCommand(words.join(' '));
        readSetCommand(words.join(' '));
      }),
    );
  });
});

describe('readSetCommand()', () => {
  for (const [command, expected] of [
    ['ipset add knocked %IP%', { action: 'open', set: 'knocked' }],
    ['/sbin/ipset -exist add knocked %IP% timeout 30', { action: 'open', set: 'knocked', timeout: 30 }],
    ['ipset del knocked %IP%', { action: 'close', set: 'knocked' }],
    ['nft add element inet filter knocked { %IP% }', { action: 'open', set: 'knocked' }],
    ["nft add element inet filter knocked '{%IP% timeout 30s}'", { action: 'open', set: 'knocked', timeout: 30 }],
    ['nft delete element inet filter knocked { %IP% }', { action: 'close', set: 'knocked' }],
    ['nft add element inet filter knocked { 192.0.2.1 }', undefined],
    ['ipset add knocked 192.0.2.1', undefined],
  ] as const) {
    test(`reads ${JSON.stringify(command)}`, () => assert.deepEqual(readSetCommand(command), expected));
  }
});
