import { DOMParser, type Document, type Element, XMLSerializer } from "@xmldom/xmldom";
import { UserError } from "../fault.ts";

/** A document that can be changed, and keeps what is not: other people's resources, comments, their order. */
export function parseCib(text: string): Document {
  try {
    const parser = new DOMParser({
      onError: (_level, message) => {
        throw new Error(message);
      },
    });
    const document = parser.parseFromString(text, "text/xml");
    if (document.documentElement?.tagName === "cib") return document;
  } catch {
    // Told below: what the text holds may be a secret.
  }
  throw new UserError(
    "cibadmin: found another answer, expected Pacemaker's configuration as XML. Run `cibadmin --query` on the host and see what it prints.",
  );
}

export function cibText(document: Document): string {
  return new XMLSerializer().serializeToString(document);
}

export function elementsOf(parent: Element | undefined, ...names: readonly string[]): Element[] {
  const found: Element[] = [];
  for (let child = parent?.firstChild ?? null; child !== null; child = child.nextSibling) {
    if (child.nodeType !== child.ELEMENT_NODE) continue;
    const element = child as Element;
    if (names.length === 0 || names.includes(element.tagName)) found.push(element);
  }
  return found;
}

export function elementOf(parent: Element | undefined, name: string): Element | undefined {
  return elementsOf(parent, name)[0];
}

/** The element at this path below the root, made where it is missing. */
export function sectionOf(document: Document, ...path: readonly string[]): Element {
  let here = rootOf(document);
  for (const name of path) {
    let next = elementOf(here, name);
    if (next === undefined) {
      next = document.createElement(name);
      here.appendChild(next);
    }
    here = next;
  }
  return here;
}

export function rootOf(document: Document): Element {
  const root = document.documentElement;
  if (root === null) throw new Error("a CIB without a root");
  return root;
}

/** What an element is to be made of. */
export interface Description {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children?: readonly Description[];
}

export function buildElement(document: Document, { name, attributes, children }: Description): Element {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children ?? []) element.appendChild(buildElement(document, child));
  return element;
}

export function attributesOf(element: Element, ...without: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    Array.from(element.attributes, ({ name, value }) => [name, value] as const).filter(
      ([name]) => !without.includes(name),
    ),
  );
}

export function idOf(element: Element): string {
  return element.getAttribute("id") ?? "";
}
