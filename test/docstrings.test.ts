import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, it } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What users write and compose: the stack file's schemas, and the components. */
const publicFiles = [
  ...readdirSync(join(root, "components"))
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => `components/${name}`),
  "model/connections.ts",
  "model/declaration.ts",
  "model/group.ts",
  "model/hostFacts.ts",
  "model/maintenanceWindow.ts",
  "model/sshTarget.ts",
];

/** Exported types and classes, and their public fields, that have no docstring; fields of zod's objects too. */
function undocumented(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node, owner: string): void => {
    const name = nameOf(node);
    const here = name === undefined ? owner : `${owner}.${name}`.replace(/^\./, "");
    if (isPublic(node) && ts.getJSDocCommentsAndTags(node).length === 0) {
      found.push(`${path}: found ${here} without a docstring, expected its meaning, unit, default and consequence.`);
    }
    ts.forEachChild(node, (child) => visit(child, here));
  };
  visit(source, "");
  return found;
}

function nameOf(node: ts.Node): string | undefined {
  const isNamed =
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isVariableDeclaration(node) ||
    ts.isPropertySignature(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isPropertyAssignment(node);
  return isNamed ? node.name?.getText() : undefined;
}

function isPublic(node: ts.Node): boolean {
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isClassDeclaration(node)) {
    return hasModifier(node, ts.SyntaxKind.ExportKeyword);
  }
  if (ts.isPropertySignature(node)) return hasExportedOwner(node);
  if (ts.isPropertyDeclaration(node)) return !hasModifier(node, ts.SyntaxKind.PrivateKeyword);
  return ts.isPropertyAssignment(node) && isZodObject(node.parent.parent);
}

function hasModifier(node: ts.HasModifiers, kind: ts.SyntaxKind): boolean {
  return ts.getModifiers(node)?.some((modifier) => modifier.kind === kind) ?? false;
}

/** What stands in line, such as `{ readonly port: number }`, is told by the field that has it. */
function hasExportedOwner(node: ts.PropertySignature): boolean {
  return ts.isInterfaceDeclaration(node.parent) && isPublic(node.parent);
}

function isZodObject(node: ts.Node): boolean {
  return ts.isCallExpression(node) && /^z\s*\.(strictObject|object)$/.test(node.expression.getText());
}

it.each(publicFiles)("%s: every public type and field says what it means", (path) => {
  expect(undocumented(path, readFileSync(join(root, path), "utf8"))).toEqual([]);
});

it("a type, a field of one, of a class and of a schema are told when they say nothing", () => {
  const text = [
    "/** Said. */",
    "export interface Args {",
    "  readonly port: number;",
    "  /** Said. */",
    "  readonly user: string;",
    "}",
    "export class Host {",
    "  /** Said. */",
    "  readonly name = '';",
    "  readonly address = '';",
    "  private readonly own = 1;",
    "}",
    "const schema = z.strictObject({",
    "  size: z.string(),",
    "  /** Said. */",
    "  limits: z.object({ bytes: z.int() }),",
    "});",
    "interface Internal { readonly port: number }",
    "const other = { port: 1 };",
  ].join("\n");
  const told = (what: string) =>
    `x.ts: found ${what} without a docstring, expected its meaning, unit, default and consequence.`;
  expect(undocumented("x.ts", text)).toEqual(
    ["Args.port", "Host", "Host.address", "schema.size", "schema.limits.bytes"].map(told),
  );
});
