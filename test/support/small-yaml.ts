/**
 * As much YAML as our own files are written in: maps and lists by indentation, and scalars on one line: plain, 'quoted', "quoted", whole
 * numbers, true and false. Whatever else YAML has is refused, so what this reads, every YAML reader reads alike.
 */

export type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml };

interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

/** Throws an error that names the line. */
export function readYaml(text: string): Yaml {
  const lines = text
    .split('\n')
    .map((line, index) => ({ number: index + 1, indent: line.search(/\S|$/), text: line.trim() }))
    .filter((line) => line.text !== '' && !line.text.startsWith('#'));
  for (const line of lines) if (line.text.includes('\t') || line.indent % 2 !== 0) fail(line, 'is indented strangely');
  const { value, rest } = readBlock(lines);
  if (rest.length > 0) fail(rest[0]!, 'belongs to nothing');
  return value;
}

function readBlock(lines: readonly Line[]): { readonly value: Yaml; readonly rest: readonly Line[] } {
  const first = lines[0];
  if (!first) throw new Error('an empty document');
  return first.text.startsWith('- ') ? readList(lines, first.indent) : readMap(lines, first.indent);
}

function readList(lines: readonly Line[], indent: number): { readonly value: Yaml; readonly rest: readonly Line[] } {
  const items: Yaml[] = [];
  let rest = lines;
  while (rest[0]?.indent === indent && rest[0].text.startsWith('- ')) {
    const head = { ...rest[0], indent: indent + 2, text: rest[0].text.slice(2).trim() };
    if (splitKey(head.text)) {
      const item = readMap([head, ...rest.slice(1)], indent + 2);
      items.push(item.value);
      rest = item.rest;
    } else {
      items.push(readScalar(head, head.text));
      rest = rest.slice(1);
    }
  }
  return { value: items, rest };
}

function readMap(lines: readonly Line[], indent: number): { readonly value: Yaml; readonly rest: readonly Line[] } {
  const map: Record<string, Yaml> = {};
  let rest = lines;
  while (rest[0]?.indent === indent && !rest[0].text.startsWith('- ')) {
    const line = rest[0];
    const pair = splitKey(line.text) ?? fail(line, 'is no key and value');
    if (Object.hasOwn(map, pair.key)) fail(line, 'is there twice');
    rest = rest.slice(1);
    if (pair.value !== '') {
      map[pair.key] = readScalar(line, pair.value);
      continue;
    }
    if (!rest[0] || rest[0].indent <= indent) fail(line, 'has no value');
    const block = readBlock(rest);
    map[pair.key] = block.value;
    rest = block.rest;
  }
  if (rest[0] && rest[0].indent > indent) fail(rest[0], 'is indented too far');
  return { value: map, rest };
}

function splitKey(text: string): { readonly key: string; readonly value: string } | undefined {
  const match = /^([A-Za-z_][\w-]*):(?: +(.+))?$/.exec(text);
  return match ? { key: match[1]!, value: match[2] ?? '' } : undefined;
}

function readScalar(line: Line, text: string): Yaml {
  if (/^'(?:[^']|'')*'$/.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  if (/^"(?:[^"\\]|\\["\\])*"$/.test(text)) return JSON.parse(text);
  if (/^[0-9]+$/.test(text)) return Number(text);
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^(?:null|yes|no|on|off|~)$/i.test(text) || !/^[A-Za-z][\w./-]*$/.test(text)) fail(line, 'has to be quoted');
  return text;
}

function fail(line: Line, what: string): never {
  throw new Error(`line ${line.number}: "${line.text}" ${what}`);
}
