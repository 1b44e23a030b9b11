/**
 * The mutants of a source file: what it would be with one slip in it. Found in the syntax tree of TypeScript's own (unstable) API; a mutant is a
 * place in the text and what stands there instead. Types, imports and texts are left alone.
 */

import * as ast from 'typescript/unstable/ast';
import { isTypeNode } from 'typescript/unstable/ast/is';
import { API } from 'typescript/unstable/sync';

export interface Mutant {
  /** Absolute. */
  readonly file: string;
  readonly line: number;
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** What it is, for people. */
  readonly change: string;
}

const { SyntaxKind } = ast;

/** What else could have been meant: the boundary, the opposite, the neighbour. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '<<': ['>>'],
  '>>': ['<<'],
  '>>>': ['<<'],
  '&': ['|'],
  '|': ['&'],
  '^': ['&'],
  '+=': ['-='],
  '-=': ['+='],
  '<<=': ['>>='],
  '>>=': ['<<='],
  '>>>=': ['<<='],
  '|=': ['&='],
  '&=': ['|='],
  '^=': ['&='],
};

/** All mutants of these files, in the order of their places. */
export function mutantsOf(project: string, files: readonly string[]): readonly Mutant[] {
  const api = new API({ cwd: process.cwd() });
  try {
    const [opened] = api.updateSnapshot({ openProject: project }).getProjects();
    return files.flatMap((file) => {
      const source = opened?.program.getSourceFile(file);
      if (!source) throw new Error(`${file} is not of ${project}`);
      return [...mutantsIn(source, source, file)];
    });
  } finally {
    api.close();
  }
}

function* mutantsIn(node: ast.Node, source: ast.SourceFile, file: string): Generator<Mutant> {
  if (isTypeNode(node) || LEFT_ALONE.has(node.kind)) return;
  for (const [start, end, text] of changesOf(node, source)) {
    const line = source.text.slice(0, start).split('\n').length;
    const before = source.text.slice(start, end);
    const change = `${shown(before)} → ${text === '' ? 'nothing' : shown(text)}`;
    yield { file, line, start, end, text, change };
  }
  const children: ast.Node[] = [];
  node.forEachChild((child) => void children.push(child));
  for (const child of children) yield* mutantsIn(child, source, file);
}

const LEFT_ALONE: ReadonlySet<ast.SyntaxKind> = new Set([
  SyntaxKind.InterfaceDeclaration,
  SyntaxKind.TypeAliasDeclaration,
  SyntaxKind.ImportDeclaration,
  SyntaxKind.ExportDeclaration,
]);

type Change = readonly [start: number, end: number, text: string];

function* changesOf(node: ast.Node, source: ast.SourceFile): Generator<Change> {
  const startOf = (of: ast.Node): number => of.getStart(source);
  const textOf = (of: ast.Node): string => source.text.slice(startOf(of), of.end);
  const [start, end] = [startOf(node), node.end];
  if (ast.isBinaryExpression(node)) {
    const operator = node.operatorToken;
    for (const other of OPERATORS[textOf(operator)] ?? []) yield [startOf(operator), operator.end, other];
  } else if (ast.isPrefixUnaryExpression(node) || ast.isPostfixUnaryExpression(node)) {
    const text = textOf(node);
    if (text.includes('++')) yield [start, end, text.replace('++', '--')];
    else if (text.includes('--')) yield [start, end, text.replace('--', '++')];
    else yield [start, end, textOf(node.operand)];
  } else if (ast.isNumericLiteral(node)) {
    yield [start, end, `(${textOf(node)} + 1)`];
  } else if (node.kind === SyntaxKind.TrueKeyword || node.kind === SyntaxKind.FalseKeyword) {
    yield [start, end, node.kind === SyntaxKind.TrueKeyword ? 'false' : 'true'];
  } else if (ast.isConditionalExpression(node)) {
    yield [startOf(node.condition), node.condition.end, `!(${textOf(node.condition)})`];
  } else if (ast.isIfStatement(node)) {
    for (const always of ['true', 'false']) yield [startOf(node.expression), node.expression.end, always];
  } else if (ast.isReturnStatement(node)) {
    if (node.expression && textOf(node.expression) !== 'undefined') yield [start, end, 'return undefined;'];
  } else if (ast.isExpressionStatement(node) || ast.isThrowStatement(node)) {
    yield [start, end, ''];
  }
}

function shown(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 57)}...` : line;
}
