/** The reference page of a shape, in Markdown: a heading for every section, a row for every key. */

import { printToml } from './reading.ts';
import type { Shape } from './schema-shape.ts';

/** The sections of the file, the doors first; then the keys that stand before any section. */
export function printReference(root: Shape): string {
  const sections = [...sectionsOf(root, '')];
  const isDoor = ({ name }: Section): boolean => name.startsWith('door.');
  const isTop = ({ name }: Section): boolean => name === '';
  const others = sections.filter((section) => !isDoor(section) && !isTop(section));
  const ordered = [...sections.filter(isDoor), ...sections.filter(isTop), ...others];
  return ordered.map(printSection).join('\n');
}

type Table = Extract<Shape, { type: 'table' }>;

interface Section {
  readonly name: string;
  readonly description: string;
  readonly table: Table;
}

function* sectionsOf(shape: Shape, name: string): Generator<Section> {
  if (shape.type === 'named-tables') {
    const [first, ...others] = sectionsOf(shape.value, `${name}.NAME`);
    if (first) yield { ...first, description: shape.description };
    yield* others;
  }
  if (shape.type !== 'table') return;
  yield { name, description: shape.description, table: shape };
  for (const [key, inner] of shape.keys) yield* sectionsOf(inner, name === '' ? key : `${name}.${key}`);
}

function printSection({ name, description, table }: Section): string {
  const rows = [...table.keys].filter(([, shape]) => shape.type !== 'table' && shape.type !== 'named-tables');
  const needs = table.about.oneOf
    ? [`One of ${table.about.oneOf.map((key) => `\`${key}\``).join(' and ')} has to be there.`, '']
    : [];
  return [
    name === '' ? '## Before the first section' : `## \`[${name}]\``,
    '',
    ...(description === '' ? [] : [description, '']),
    ...needs,
    '| key | value | default | what it does |',
    '|---|---|---|---|',
    ...rows.map(
      ([key, shape]) =>
        `| ${[`\`${key}\``, printValue(shape), defaultOf(shape), shape.description].map(cell).join(' | ')} |`,
    ),
    '',
  ].join('\n');
}

function printValue(shape: Shape): string {
  const example = shape.about.examples?.[0] ?? (shape.required ? undefined : shape.default);
  const like =
    example === undefined || shape.type === 'choice' || shape.type === 'boolean'
      ? ''
      : `, such as \`${printToml(example)}\``;
  const range = shape.about.range === undefined || shape.type === 'list' ? '' : ` ${shape.about.range}`;
  switch (shape.type) {
    case 'list':
      return `a list of ${plural(shape.item)}${shape.about.range === undefined ? '' : ` (${shape.about.range})`}${like}`;
    case 'choice':
      return shape.options.map((option) => `\`"${option}"\``).join(', ');
    case 'number':
      return `a whole number from ${shape.least} to ${shape.most}`;
    case 'boolean':
      return '`true` or `false`';
    default:
      return `${kindOf(shape)}${range}${like}`;
  }
}

/** `a duration` of `a duration such as "30s"`. */
function kindOf(shape: Shape): string {
  return (shape.about.wanted ?? 'a text').replace(/ such as .*$/, '');
}

function plural(shape: Shape): string {
  const kind = kindOf(shape).replace(/^an? /, '').replace('address or a block', 'addresses and blocks');
  return kind.endsWith('s') ? kind : `${kind}s`;
}

function defaultOf(shape: Shape): string {
  if (shape.required) return 'none: it has to be there';
  return shape.default === undefined ? (shape.about.fallback ?? 'none') : `\`${printToml(shape.default)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
