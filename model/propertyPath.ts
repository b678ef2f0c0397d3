import type { Plain } from "./changes.ts";

/** Where a value stands in a resource's properties: keys of objects, indexes of lists. */
export type PropertyPath = readonly (string | number)[];

/** As Pulumi writes it: `parameters.work_mem`, `hosts[1]`, `parameters["pg_stat_statements.max"]`. */
export function formatPropertyPath(path: PropertyPath): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (part === "" || /[.[\]"]/.test(part)) return `["${part.replaceAll('"', '\\"')}"]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}

/** The path of a fault has only strings; what indexes a list in `values` becomes a number. */
export function locatePath(path: readonly string[], values: Plain): PropertyPath {
  const located: (string | number)[] = [];
  let here: Plain | undefined = values;
  for (const part of path) {
    const key: string | number = Array.isArray(here) && /^\d+$/.test(part) ? Number(part) : part;
    located.push(key);
    here = valueAt(here, [key]);
  }
  return located;
}

export function valueAt(values: Plain | undefined, path: PropertyPath): Plain | undefined {
  let here: Plain | undefined = values;
  for (const part of path) {
    if (Array.isArray(here)) here = typeof part === "number" ? here[part] : undefined;
    else if (here !== null && typeof here === "object" && Object.hasOwn(here, part)) here = here[part];
    else return undefined;
  }
  return here;
}

/** True when `path` is `ancestor` or lies inside it. */
export function isAtOrUnder(path: PropertyPath, ancestor: PropertyPath): boolean {
  return ancestor.length <= path.length && ancestor.every((part, index) => String(part) === String(path[index]));
}

/** The same for paths in Pulumi's notation, as `diff` and `ignoreChanges` have them. `hosts[*]` covers every element. */
export function isAtOrUnderText(path: string, ancestor: string): boolean {
  const plainAncestor = ancestor.replace(/\[\*\]$/, "");
  if (!path.startsWith(plainAncestor)) return false;
  const next = path[plainAncestor.length];
  return next === undefined || next === "." || next === "[";
}
