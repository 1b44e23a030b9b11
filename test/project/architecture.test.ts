/** Who may import whom (CONTRIBUTING.md, "Rooms"): the walls between the rooms are held here, not by good will. */

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const src = join(root, 'src');

type Room =
  | 'core'
  | 'platform'
  | 'config'
  | 'capture'
  | 'firewall'
  | 'store'
  | 'control'
  | 'watcher'
  | 'tarpit'
  | 'cage'
  | 'keeper'
  | 'client'
  | 'cli';

/** Besides itself. `platform` takes only types from `core`. */
const MAY_IMPORT: Readonly<Record<Room, readonly Room[]>> = {
  core: [],
  platform: ['core'],
  config: ['core', 'platform'],
  capture: ['core', 'platform'],
  firewall: ['core', 'platform'],
  store: ['core', 'platform'],
  control: ['core', 'platform'],
  watcher: ['core', 'platform', 'capture'],
  tarpit: ['core', 'platform'],
  cage: ['core', 'platform'],
  keeper: ['core', 'platform', 'config', 'firewall', 'store', 'control'],
  client: ['core', 'platform', 'config'],
  cli: ['core', 'platform', 'config', 'capture', 'firewall', 'store', 'control', 'keeper', 'client'],
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const files = globSync('**/*.ts', { cwd: src }).sort();
const imports = files.flatMap(importsOf);

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(src, file), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)';|^import\s+'([^']+)';/gm);
  return [...statements].map((match) => ({
    from: file,
    to: match[2] ?? match[3] ?? '',
    typeOnly: match[1] !== undefined,
  }));
}

function target({ from, to }: Import): string | undefined {
  return to.startsWith('.') ? relative(src, join(src, dirname(from), to)) : undefined;
}

const roomOf = (file: string): string => file.split('/')[0] ?? '';

test('every file of src/ is in a room', () => {
  assert.deepEqual(
    files.filter((file) => !(roomOf(file) in MAY_IMPORT)),
    [],
  );
});

test('rooms import only the rooms they may', () => {
  const broken = imports.filter((found) => {
    const file = target(found);
    if (file === undefined) return false;
    const from = roomOf(found.from) as Room;
    const to = roomOf(file) as Room;
    return from !== to && !MAY_IMPORT[from].includes(to);
  });
  assert.deepEqual(broken, []);
});

test('nobody imports the watcher, the tarpit or the zygote: they are programs, started', () => {
  for (const program of ['watcher', 'tarpit', 'cage']) {
    assert.deepEqual(
      imports.filter((found) => roomOf(target(found) ?? '') === program && roomOf(found.from) !== program),
      [],
    );
  }
});

test('core uses nothing but itself: no modules, no runtime globals', () => {
  const outside = imports.filter((found) => roomOf(found.from) === 'core' && target(found) === undefined);
  assert.deepEqual(outside, []);
  const config = JSON.parse(readFileSync(join(src, 'core/tsconfig.json'), 'utf8')) as {
    compilerOptions: { lib: string[]; types: string[] };
  };
  assert.deepEqual(config.compilerOptions, { lib: ['es2023'], types: [] });
});

test('only platform/process.ts starts programs', () => {
  const starting = imports.filter(({ to }) => /^(node:)?(child_process|cluster|worker_threads)$/.test(to));
  assert.deepEqual(
    starting.map(({ from }) => from),
    ['platform/process.ts'],
  );
});

test('only platform/libc.ts calls the C library', () => {
  assert.deepEqual(
    imports.filter(({ to }) => to === 'koffi').map(({ from }) => from),
    ['platform/libc.ts'],
  );
});

test('packages are imported by the rooms that may depend on them', () => {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    koffi: ['platform'],
    commander: ['cli'],
    'smol-toml': ['config'],
    valibot: ['config'],
    uqr: ['cli'],
  };
  const strange = imports.filter(({ from, to }) => {
    if (to.startsWith('.') || to.startsWith('node:')) return false;
    return !allowed[to]?.includes(roomOf(from));
  });
  assert.deepEqual(strange, []);
});

test('imports make no cycle', () => {
  const graph = new Map(files.map((file) => [file, new Set<string>()]));
  for (const found of imports) {
    const file = target(found);
    if (file !== undefined && !found.typeOnly) graph.get(found.from)?.add(file);
  }
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    assert.ok(!path.includes(file), `a cycle: ${[...path, file].join(' -> ')}`);
    path.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of files) visit(file);
});

test('files hold one idea: none is longer than 400 lines', () => {
  const long = files.filter((file) => readFileSync(join(src, file), 'utf8').split('\n').length > 400);
  assert.deepEqual(long, []);
});

test('dependencies of the package are pinned and justified in CONTRIBUTING.md', () => {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    'dependencies' | 'optionalDependencies',
    Record<string, string>
  >;
  const contributing = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
  for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned`);
    assert.ok(contributing.includes(`\`${name}\``), `${name} is not explained in CONTRIBUTING.md`);
  }
});
