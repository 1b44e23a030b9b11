/** As much of JSON Schema (2020-12) as our own schema is written in; any other word in it is an error. */

type Schema = Readonly<Record<string, unknown>>;

const WORDS = new Set(
  (
    '$schema title description default examples type properties required anyOf additionalProperties propertyNames items ' +
    'minItems maxItems enum minimum maximum pattern'
  ).split(' '),
);

/** Where a value breaks the schema; empty when it does not. */
export function violations(schema: Schema, value: unknown, path = ''): string[] {
  const strange = Object.keys(schema).filter((word) => !WORDS.has(word));
  if (strange.length > 0) throw new Error(`${path}: the schema has words that are not known: ${strange.join(' ')}`);
  const found: string[] = [];
  const { type, pattern, minimum, maximum } = schema;
  if (typeof type === 'string' && !isOf(type, value)) return [`${path}: is no ${type}`];
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) found.push(`${path}: is none of the values`);
  if (typeof pattern === 'string' && typeof value === 'string' && !new RegExp(pattern, 'u').test(value))
    found.push(`${path}: does not fit ${pattern}`);
  if (typeof minimum === 'number' && Number(value) < minimum) found.push(`${path}: is too small`);
  if (typeof maximum === 'number' && Number(value) > maximum) found.push(`${path}: is too large`);
  if (Array.isArray(value)) found.push(...inList(schema, value, path));
  else if (typeof value === 'object' && value !== null) found.push(...inTable(schema, value, path));
  return found;
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return type === 'integer' ? Number.isInteger(value) : typeof value === type;
}

function inList(schema: Schema, list: readonly unknown[], path: string): string[] {
  const { items, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
  const found = list.flatMap((item, index) => violations((items ?? {}) as Schema, item, `${path}/${index}`));
  if (list.length < Number(minItems) || list.length > Number(maxItems)) found.push(`${path}: has ${list.length} items`);
  return found;
}

function inTable(schema: Schema, table: object, path: string): string[] {
  const properties = (schema.properties ?? {}) as Readonly<Record<string, Schema>>;
  const others = schema.additionalProperties as Schema | boolean | undefined;
  const names = schema.propertyNames as Schema | undefined;
  const found: string[] = [];
  for (const [key, value] of Object.entries(table)) {
    const own = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (names) found.push(...violations(names, key, `${path}/${key}`));
    if (own) found.push(...violations(own, value, `${path}/${key}`));
    else if (others === false) found.push(`${path}/${key}: is not known`);
    else if (typeof others === 'object') found.push(...violations(others, value, `${path}/${key}`));
  }
  const lacks = (keys: unknown): boolean => (keys as readonly string[]).some((key) => !Object.hasOwn(table, key));
  if (schema.required && lacks(schema.required)) found.push(`${path}: lacks a key`);
  const choices = schema.anyOf as readonly Schema[] | undefined;
  if (choices?.every((choice) => lacks(choice.required))) found.push(`${path}: lacks one of several keys`);
  return found;
}
