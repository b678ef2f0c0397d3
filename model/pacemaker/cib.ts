import type { Document, Element } from "@xmldom/xmldom";
import {
  attributesOf,
  buildElement,
  cibText,
  type Description,
  elementOf,
  elementsOf,
  idOf,
  parseCib,
  rootOf,
  sectionOf,
} from "./cibXml.ts";
import { ownPrefix, type PacemakerConfiguration } from "./configuration.ts";
import type { PacemakerResource, Texts } from "./resource.ts";

/** Pacemaker's configuration as one node has it. */
export interface Cib {
  /** The part of it that is ours, secrets in clear. */
  readonly own: PacemakerConfiguration;
  /** Resources of the user's own, by id. */
  readonly foreignResources: readonly string[];
  /** Of our clones and groups: those that are left alone for now, because somebody does something by hand. */
  readonly inMaintenance: readonly string[];
  /** Does the node that answered belong to a part of the cluster that may decide? */
  readonly quorum: boolean;
  /** Has the coordinator written its own properties? Before that nothing may be added. */
  readonly settled: boolean;
  /** Nodes that Pacemaker decides for, by name. */
  readonly joined: readonly string[];
  /** admin_epoch, epoch, num_updates: the larger, the newer. */
  readonly version: readonly [number, number, number];
}

/** Set for the time of a switchover or by hand for an hour: never declared, never taken for a difference. */
const passing = "maintenance";

/** `properties`: the names of those that are declared; others are the user's. */
export function readCib(text: string, properties: readonly string[]): Cib {
  const document = parseCib(text);
  const root = rootOf(document);
  const configuration = elementOf(root, "configuration");
  const resources = elementOf(configuration, "resources");
  const primitives = elementsWithin(resources, "primitive");
  const groups = elementsWithin(resources, "group").filter(isOwn);
  const clones = elementsWithin(resources, "clone").filter(isOwn);
  const own = primitives.filter(isOwn);
  const isFence = (element: Element) => element.getAttribute("class") === "stonith";
  const named = <T>(elements: readonly Element[], read: (element: Element) => T): Record<string, T> =>
    Object.fromEntries(elements.map((element) => [idOf(element), read(element)]));
  return {
    own: {
      properties: Object.fromEntries(
        propertyElements(configuration)
          .map((element) => [element.getAttribute("name") ?? "", element.getAttribute("value") ?? ""] as const)
          .filter(([name]) => properties.includes(name)),
      ),
      resources: named(
        own.filter((element) => !isFence(element)),
        readResource,
      ),
      groups: named(groups, readGroup),
      clones: named(clones, readClone),
      constraints: named(ownConstraints(configuration), readConstraint),
      fencing: named(own.filter(isFence), readResource),
      fencingLevels: named(ownLevels(configuration), (element) => attributesOf(element, "id")),
    },
    foreignResources: primitives.filter((element) => !isOwn(element)).map(idOf),
    inMaintenance: [...groups, ...clones]
      .filter((element) => nameValues(element, "meta_attributes")[passing] === "true")
      .map(idOf),
    quorum: root.getAttribute("have-quorum") === "1",
    settled: propertyElements(configuration).some((element) => element.getAttribute("name") === "dc-version"),
    joined: elementsOf(elementOf(root, "status"), "node_state")
      .filter((element) => element.getAttribute("join") === "member" && isThere(element.getAttribute("crmd")))
      .map((element) => element.getAttribute("uname") ?? ""),
    version: [numberOf(root, "admin_epoch"), numberOf(root, "epoch"), numberOf(root, "num_updates")],
  };
}

/** Since Pacemaker 2.1.7 the moment since when it is there; before that a word. */
function isThere(crmd: string | null): boolean {
  return crmd === "online" || Number(crmd ?? "0") > 0;
}

function numberOf(root: Element, attribute: string): number {
  return Number(root.getAttribute(attribute) ?? "0");
}

/**
 * The whole document as it should be: ours as wanted, everything else as it is. Undefined when nothing is to be changed.
 * `formerProperties`: properties that were declared before; those that no longer are go.
 */
export function changeCib(
  text: string,
  wanted: PacemakerConfiguration,
  formerProperties: readonly string[] = [],
): string | undefined {
  const document = parseCib(text);
  const before = cibText(document);
  changeProperties(document, wanted.properties, formerProperties);
  changeResources(document, wanted);
  changeConstraints(document, wanted.constraints);
  changeLevels(document, wanted.fencingLevels);
  if (cibText(document) === before) return undefined;
  // The version after the one that was read: by it Pacemaker refuses the change when another one came first.
  const root = rootOf(document);
  root.setAttribute("epoch", String(numberOf(root, "epoch") + 1));
  root.setAttribute("num_updates", "0");
  return cibText(document);
}

function elementsWithin(parent: Element | undefined, name: string): Element[] {
  return elementsOf(parent).flatMap((child) => [
    ...(child.tagName === name ? [child] : []),
    ...elementsWithin(child, name),
  ]);
}

function isOwn(element: Element): boolean {
  return idOf(element).startsWith(ownPrefix);
}

function propertyElements(configuration: Element | undefined): Element[] {
  return elementsOf(elementOf(configuration, "crm_config"), "cluster_property_set").flatMap((set) =>
    elementsOf(set, "nvpair"),
  );
}

/** Of all sets of the element: tools add to the first or make one of their own. */
function nameValues(element: Element, set: "instance_attributes" | "meta_attributes"): Record<string, string> {
  return Object.fromEntries(
    elementsOf(element, set)
      .flatMap((one) => elementsOf(one, "nvpair"))
      .map((pair) => [pair.getAttribute("name") ?? "", pair.getAttribute("value") ?? ""]),
  );
}

function metaOf(element: Element): Record<string, string> {
  const { [passing]: _, ...rest } = nameValues(element, "meta_attributes");
  return rest;
}

function readResource(element: Element): PacemakerResource {
  const { class: standard, provider, type } = attributesOf(element);
  const operations: Record<string, Texts> = {};
  for (const operation of elementsOf(elementOf(element, "operations"), "op")) {
    const { name = "", role, interval = "0s", ...rest } = attributesOf(operation, "id");
    const key = role === undefined ? name : `${name} ${role}`;
    // A second one of the same name is somebody's own; it must not hide behind the first.
    operations[key in operations ? `${key} ${interval}` : key] = isZero(interval) ? rest : { interval, ...rest };
  }
  return {
    agent: [standard, provider, type].filter((part) => part !== undefined).join(":"),
    parameters: nameValues(element, "instance_attributes"),
    operations,
    meta: metaOf(element),
  };
}

function isZero(interval: string): boolean {
  return /^0+(ms|s)?$/.test(interval);
}

function readGroup(element: Element): PacemakerConfiguration["groups"][string] {
  return { members: elementsOf(element, "primitive").map(idOf), meta: metaOf(element) };
}

function readClone(element: Element): PacemakerConfiguration["clones"][string] {
  const [inner] = elementsOf(element, "primitive", "group");
  return { resource: inner === undefined ? "" : idOf(inner), meta: metaOf(element) };
}

/** Ours, and what `crm_resource --move` and `--ban` left behind about ours: it would decide where the primary may be. */
function ownConstraints(configuration: Element | undefined): Element[] {
  return elementsOf(elementOf(configuration, "constraints")).filter(
    (element) =>
      isOwn(element) || (idOf(element).startsWith("cli-") && (element.getAttribute("rsc") ?? "").startsWith(ownPrefix)),
  );
}

function readConstraint(element: Element): Texts {
  const inner = elementsOf(element);
  return {
    type: element.tagName.replace(/^rsc_/, ""),
    ...attributesOf(element, "id"),
    // Rules and sets are never ours.
    ...(inner.length === 0 ? {} : { contains: inner.map((child) => child.tagName).join(", ") }),
  };
}

function changeProperties(document: Document, wanted: Texts, former: readonly string[]): void {
  const live = propertyElements(sectionOf(document, "configuration"));
  const named = (name: string) => live.filter((element) => element.getAttribute("name") === name);
  for (const name of former.filter((one) => !(one in wanted))) for (const element of named(name)) remove(element);
  for (const [name, value] of Object.entries(wanted)) {
    const found = named(name);
    for (const element of found) element.setAttribute("value", value);
    if (found.length > 0) continue;
    const options = sectionOf(document, "configuration", "crm_config");
    let set = elementOf(options, "cluster_property_set");
    if (set === undefined) {
      set = buildElement(document, { name: "cluster_property_set", attributes: { id: "cib-bootstrap-options" } });
      options.appendChild(set);
    }
    set.appendChild(buildElement(document, namedValue(idOf(set), name, value)));
  }
}

function changeResources(document: Document, wanted: PacemakerConfiguration): void {
  const section = sectionOf(document, "configuration", "resources");
  const descriptions = describeResources(wanted);
  const tops = new Set(descriptions.map(({ attributes }) => attributes.id));
  for (const kind of ["primitive", "group", "clone"]) {
    for (const element of elementsWithin(section, kind).filter(isOwn)) {
      const isTop = element.parentNode === section;
      const parent = element.parentNode as Element | null;
      // What is inside a part of ours is judged with it.
      if (isTop ? !tops.has(idOf(element)) : parent !== null && !isOwn(parent)) remove(element);
    }
  }
  for (const description of descriptions) {
    const live = elementsOf(section).find((element) => idOf(element) === description.attributes.id);
    const built = buildElement(document, description);
    if (live === undefined) section.appendChild(built);
    else if (!sameResource(live, built)) {
      keepPassing(document, live, built);
      section.replaceChild(built, live);
    }
  }
}

/** What read would say of both is the same. */
function sameResource(live: Element, built: Element): boolean {
  return live.tagName === built.tagName && canonical(meaningOf(live)) === canonical(meaningOf(built));
}

function meaningOf(element: Element): unknown {
  if (element.tagName === "primitive") return { id: idOf(element), ...readResource(element) };
  return {
    id: idOf(element),
    meta: metaOf(element),
    inside: elementsOf(element, "primitive", "group").map(meaningOf),
  };
}

/** As text in which the order of keys does not count; that of lists does. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** Who left it alone for an hour has not finished yet. */
function keepPassing(document: Document, live: Element, built: Element): void {
  const value = nameValues(live, "meta_attributes")[passing];
  if (value === undefined) return;
  let set = elementOf(built, "meta_attributes");
  if (set === undefined) {
    set = buildElement(document, { name: "meta_attributes", attributes: { id: `${idOf(built)}-meta_attributes` } });
    built.insertBefore(set, built.firstChild);
  }
  set.appendChild(buildElement(document, namedValue(idOf(set), passing, value)));
}

function changeConstraints(document: Document, wanted: PacemakerConfiguration["constraints"]): void {
  const section = sectionOf(document, "configuration", "constraints");
  for (const element of ownConstraints(sectionOf(document, "configuration"))) {
    const constraint = wanted[idOf(element)];
    if (constraint === undefined) remove(element);
    else if (canonical(readConstraint(element)) !== canonical(constraint)) {
      section.replaceChild(buildElement(document, describeConstraint(idOf(element), constraint)), element);
    }
  }
  const there = new Set(elementsOf(section).map(idOf));
  for (const [id, constraint] of Object.entries(wanted)) {
    if (!there.has(id)) section.appendChild(buildElement(document, describeConstraint(id, constraint)));
  }
}

/** All that order devices of ours, whoever wrote them. */
function ownLevels(configuration: Element | undefined): Element[] {
  return elementsOf(elementOf(configuration, topology), "fencing-level").filter(
    (element) =>
      isOwn(element) || (element.getAttribute("devices") ?? "").split(",").some((id) => id.startsWith(ownPrefix)),
  );
}

const topology = "fencing-topology";

function changeLevels(document: Document, wanted: PacemakerConfiguration["fencingLevels"]): void {
  const live = ownLevels(sectionOf(document, "configuration"));
  const read = (element: Element) => attributesOf(element, "id");
  for (const element of live) {
    const level = wanted[idOf(element)];
    if (level === undefined || canonical(read(element)) !== canonical(level)) remove(element);
  }
  const missing = Object.entries(wanted).filter(
    ([id]) => !ownLevels(sectionOf(document, "configuration")).some((element) => idOf(element) === id),
  );
  if (missing.length === 0) return;
  const section = sectionOf(document, "configuration", topology);
  for (const [id, level] of missing) {
    section.appendChild(buildElement(document, { name: "fencing-level", attributes: { id, ...level } }));
  }
}

function remove(element: Element): void {
  element.parentNode?.removeChild(element);
}

/** Every element directly below `resources`: fence devices first, then what they guard. */
function describeResources({ resources, groups, clones, fencing }: PacemakerConfiguration): Description[] {
  const inner = (id: string): Description => {
    const resource = resources[id];
    if (resource === undefined) throw new Error(`${id} is in a group or clone, and is no resource`);
    return describeResource(id, resource);
  };
  const inside = new Set([
    ...Object.values(groups).flatMap(({ members }) => members),
    ...Object.values(clones).map(({ resource }) => resource),
  ]);
  return [
    ...Object.entries(fencing).map(([id, device]) => describeResource(id, device)),
    ...Object.entries(clones).map(([id, { resource, meta }]) => ({
      name: "clone",
      attributes: { id },
      children: [...nameValueSet(id, "meta_attributes", meta), inner(resource)],
    })),
    ...Object.entries(groups).map(([id, { members, meta }]) => ({
      name: "group",
      attributes: { id },
      children: [...nameValueSet(id, "meta_attributes", meta), ...members.map(inner)],
    })),
    ...Object.keys(resources)
      .filter((id) => !inside.has(id))
      .map(inner),
  ];
}

function describeResource(id: string, { agent, parameters, operations, meta }: PacemakerResource): Description {
  const parts = agent.split(":");
  const [standard = "", provider] = parts;
  const type = parts.at(-1) ?? "";
  return {
    name: "primitive",
    attributes: {
      id,
      class: standard,
      ...(parts.length > 2 && provider !== undefined ? { provider } : {}),
      type,
    },
    children: [
      ...nameValueSet(id, "meta_attributes", meta),
      ...nameValueSet(id, "instance_attributes", parameters),
      {
        name: "operations",
        attributes: {},
        children: Object.entries(operations).map(([key, attributes]) => describeOperation(id, key, attributes)),
      },
    ],
  };
}

function describeOperation(resource: string, key: string, attributes: Texts): Description {
  const [name = "", role] = key.split(" ");
  const interval = attributes.interval ?? "0s";
  return {
    name: "op",
    attributes: {
      id: `${resource}-${name}-interval-${interval}`,
      name,
      ...attributes,
      interval,
      ...(role === undefined ? {} : { role }),
    },
  };
}

function nameValueSet(owner: string, set: "instance_attributes" | "meta_attributes", values: Texts): Description[] {
  const entries = Object.entries(values);
  if (entries.length === 0) return [];
  const id = `${owner}-${set}`;
  return [{ name: set, attributes: { id }, children: entries.map(([name, value]) => namedValue(id, name, value)) }];
}

function namedValue(set: string, name: string, value: string): Description {
  return { name: "nvpair", attributes: { id: `${set}-${name}`, name, value } };
}

function describeConstraint(id: string, { type, ...attributes }: Texts): Description {
  return { name: `rsc_${type}`, attributes: { id, ...attributes } };
}
