import { DOMParser, type Element } from "@xmldom/xmldom";
import { z } from "zod";
import { UserError } from "../fault.ts";

/** One element of XML that a program printed: what we read of it, and nothing that can be changed. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
}

/** Reads a whole document. `from`: the program that printed it, for the fault that says so when it is none. */
export function parseXml(text: string, from: string): XmlElement {
  const refuse = (found: string): never => {
    throw new UserError(
      `${from}: found ${found}, expected its XML. Run it on the host and see what it prints; its version must be Pacemaker 2.1 or newer.`,
    );
  };
  if (text.trim() === "") return refuse("no output");
  let root: Element | null = null;
  try {
    const parser = new DOMParser({
      onError: (_level, message) => {
        throw new Error(message);
      },
    });
    root = parser.parseFromString(text, "text/xml").documentElement;
  } catch {
    return refuse(`"${firstLine(text)}"`);
  }
  return root === null ? refuse(`"${firstLine(text)}"`) : plainElement(root);
}

function firstLine(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 100 ? `${line.slice(0, 100)}…` : line;
}

function plainElement(element: Element): XmlElement {
  const attributes = Array.from(element.attributes, (attribute) => [attribute.name, attribute.value] as const);
  const children: XmlElement[] = [];
  for (let child = element.firstChild; child !== null; child = child.nextSibling) {
    if (child.nodeType === child.ELEMENT_NODE) children.push(plainElement(child as Element));
  }
  return { name: element.tagName, attributes: Object.fromEntries(attributes), children };
}

/** The first child of that name. */
export function childOf(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name);
}

/** Every child of that name; of an element that is not there, none. */
export function childrenOf(element: XmlElement | undefined, name: string): readonly XmlElement[] {
  return element?.children.filter((child) => child.name === name) ?? [];
}

/** What XML calls a boolean. */
export const xmlBoolean = z.enum(["true", "false"]).transform((text) => text === "true");

/** The attributes of one element, by a schema; what does not fit is told with its place. */
export function readAttributes<T>(element: XmlElement, schema: z.ZodType<T>, from: string): T {
  const read = schema.safeParse(element.attributes);
  if (read.success) return read.data;
  const problems = read.error.issues.map((issue) => {
    const attribute = issue.path.join(".");
    const found = element.attributes[attribute];
    return `${attribute} is ${found === undefined ? "missing" : `"${found}"`}`;
  });
  throw new UserError(
    `${from}: found <${element.name}> in which ${problems.join(" and ")}, expected the output of Pacemaker 2.1 to 3. Compare the hosts' versions: crm_mon --version`,
  );
}
