/**
 * `npm test`, `npm run demo` and `npm run bench` on a machine that has only Node (any from 12 on) and npm.
 *
 * 1. Installs the packages of package-lock.json (`npm ci`) when node_modules is missing or is not what the lock file says.
 * 2. Installs the Debian packages that the task needs, as root or through a sudo that asks nothing; else names them and goes on.
 *    A service that comes with a package is neither started nor enabled.
 *    The npm scripts start it with npm's own Node, since the `node` of node_modules/.bin may still lack a library of step 2.
 * 3. Becomes the task's script, run by the project's runtime: Ctrl-C and the exit status are the script's own.
 */

// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know the node: scheme

const { spawn, spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');
const { become, findRuntime, isNewEnough, missingLibrary, runWithRuntime } = require('../bin/launch.cjs');

const ROOT = path.dirname(__dirname);

/** Per task: its script, and the programs it calls. */
const TASKS = {
  test: {
    script: 'scripts/test.ts',
    programs: [
      'knockd',
      'nft',
      'iptables',
      'ipset',
      'conntrack',
      'nmap',
      'hping3',
      'sshd',
      'tcpdump',
      'ip',
      'ethtool',
      'ps',
      'ufw',
      'firewalld',
      'dbus-daemon',
      'nc',
      'zsh',
      'fish',
      'systemd-analyze',
      'fail2ban-regex',
      'rsyslogd',
    ],
  },
  demo: { script: 'scripts/demo.ts', programs: ['nft', 'ip', 'sshd'] },
  bench: {
    script: 'bench/run.ts',
    programs: ['knockd', 'nft', 'iptables', 'ipset', 'conntrack', 'ip', 'ethtool', 'tcpdump', 'ps'],
  },
};

/** The Debian package of each program that does not bear its name. */
const PACKAGES = {
  nft: 'nftables',
  sshd: 'openssh-server',
  ip: 'iproute2',
  ps: 'procps',
  'dbus-daemon': 'dbus',
  nc: 'netcat-openbsd',
  'fail2ban-regex': 'fail2ban',
  rsyslogd: 'rsyslog',
  'systemd-analyze': 'systemd',
};

/** Services that come enabled with a package of ours. */
const SERVICES = {
  'openssh-server': 'ssh',
  knockd: 'knockd',
  ufw: 'ufw',
  firewalld: 'firewalld',
  fail2ban: 'fail2ban',
  rsyslog: 'rsyslog',
};

/** Its own policy-rc.d is how Debian says "install, but start nothing"; one that is there already is left alone. */
const INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] || grep -q 'postern scripts/task.cjs' "$policy"; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' HUP INT TERM
  printf '#!/bin/sh\\n# postern scripts/task.cjs: removed when it is done\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=120 update || echo 'apt-get update failed; trying with the lists that are there'
apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $packages || exit 1
for service in $services; do
  update-rc.d "$service" disable || true
  if command -v systemctl > /dev/null; then systemctl disable "$service" || true; fi
done
exit 0
`;

async function main() {
  const name = process.argv[2];
  const task = TASKS[name];
  if (task === undefined) {
    console.error(`usage: node scripts/task.cjs ${Object.keys(TASKS).join('|')} [argument...]`);
    process.exit(2);
  }
  // They were meant for another Node.
  delete process.env.NODE_OPTIONS;
  process.env.PATH = searchPath().join(path.delimiter);
  await provideModules();
  const byRoot = await providePrograms(task.programs);
  const script = [path.join(ROOT, task.script)].concat(process.argv.slice(3));
  const runtime = isNewEnough(process.versions.node) ? process.execPath : findRuntime(ROOT);
  if (runtime === undefined) runWithRuntime('node', script);
  else if (byRoot.length > 0)
    become(find('sudo'), ['sudo', '-n', `PATH=${process.env.PATH}`].concat(environment(), runtime, script));
  else become(runtime, ['node'].concat(script));
}

/** What of the environment a script behind sudo still has to know. */
function environment() {
  return [
    'CI',
    'FORCE_COLOR',
    'NO_COLOR',
    'TERM',
    'FUZZ_RUNS',
    'FUZZ_SEED',
    'MODEL_RUNS',
    'CHAOS_SECONDS',
    'CHAOS_SEED',
  ]
    .filter((name) => process.env[name])
    .map((name) => `${name}=${process.env[name]}`);
}

/** PATH with the folders of system programs, which an ordinary user's PATH on Debian lacks. */
function searchPath() {
  const folders = (process.env.PATH || '').split(path.delimiter);
  return folders.concat(['/usr/local/sbin', '/usr/sbin', '/sbin'].filter((folder) => !folders.includes(folder)));
}

function find(program) {
  return searchPath()
    .map((folder) => path.join(folder, program))
    .find((file) => fs.existsSync(file));
}

async function provideModules() {
  const problem = moduleProblem();
  if (problem === undefined) return;
  const cli = process.env.npm_execpath;
  const command = cli === undefined ? ['npm'] : [process.env.npm_node_execpath || process.execPath, cli];
  const done = await runQuietly(`npm ci: ${problem}`, command.concat(['ci', '--include=dev', '--include=optional']));
  if (!done) process.exit(1);
}

/** Why node_modules is not what package-lock.json asks for; undefined when it is. */
function moduleProblem() {
  const wanted = readJson('package-lock.json').packages;
  let installed;
  try {
    installed = readJson('node_modules/.package-lock.json').packages;
  } catch (_) {
    return 'node_modules is missing';
  }
  for (const name of Object.keys(wanted).filter((key) => key !== '')) {
    const here = installed[name] !== undefined && fs.existsSync(path.join(ROOT, name));
    if (!here && wanted[name].optional) continue;
    if (!here || installed[name].version !== wanted[name].version) return `${name} is not what package-lock.json says`;
  }
  if (!isNewEnough(process.versions.node) && findRuntime(ROOT) === undefined) return 'the runtime is missing';
  return undefined;
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(path.join(ROOT, file), 'utf8'));
}

/** Installs what is missing; returns the command (sudo) that makes us root, empty when we are or can't be. */
async function providePrograms(programs) {
  if (process.platform !== 'linux') return [];
  const root = process.getuid() === 0;
  const sudo =
    !root && find('sudo') !== undefined && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  const byRoot = sudo ? ['sudo', '-n'] : [];
  const packages = missingPackages(programs);
  if (packages.length === 0) return byRoot;
  const list = packages.join(' ');
  if (find('apt-get') !== undefined && (root || sudo)) {
    const services = packages.filter((name) => name in SERVICES).map((name) => SERVICES[name]);
    const settings = [`packages=${list}`, `services=${services.join(' ')}`];
    await runQuietly(`apt-get install ${list}`, byRoot.concat(['env'], settings, ['sh', '-c', INSTALL]));
  }
  const absent = missingPackages(programs).join(' ');
  if (absent !== '') {
    console.error(
      `Missing: ${absent}; what needs them is left out. To have it all, as root: apt-get install ${absent}`,
    );
  }
  return byRoot;
}

function missingPackages(programs) {
  const packages = programs.filter((name) => find(name) === undefined).map((name) => PACKAGES[name] || name);
  const library = isNewEnough(process.versions.node) ? undefined : missingLibrary();
  return library === undefined ? packages : packages.concat(library.package);
}

/** Runs a command behind one line that says so, with the seconds it takes; shows its output only when it fails. */
function runQuietly(title, command) {
  const start = Date.now();
  console.log(title);
  const child = spawn(command[0], command.slice(1), { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const seconds = () => Math.round((Date.now() - start) / 1000);
  const progress = setInterval(() => {
    if (process.stdout.isTTY) process.stdout.write(`\r  ${seconds()} s`);
    else if (seconds() <= 2 || seconds() % 10 === 0) console.log(`  ${seconds()} s`);
  }, 2000);
  let interrupted = 0;
  const interrupt = (signal, number) => {
    interrupted = number;
    child.kill(signal);
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return new Promise((resolve) => {
    const end = (problem) => {
      clearInterval(progress);
      process.removeListener('SIGINT', interrupt);
      process.removeListener('SIGTERM', interrupt);
      if (interrupted !== 0) process.exit(128 + interrupted);
      if (problem === undefined) console.log(`${process.stdout.isTTY ? '\r' : ''}  done in ${seconds()} s`);
      else process.stderr.write(Buffer.concat(output.concat(Buffer.from(`${title}: ${problem}\n`))));
      resolve(problem === undefined);
    };
    child.on('error', (error) => end(error.message));
    child.on('close', (status, signal) =>
      end(status === 0 ? undefined : `failed (${signal || `exit status ${status}`})`),
    );
  });
}

main();
