import { file } from "./file.ts";
import { instance } from "./instance.ts";
import { pacemakerCluster } from "./pacemakerCluster.ts";
import { packages } from "./packages.ts";
import { preflight } from "./preflight.ts";
import { replicationGroup } from "./replicationGroup.ts";
import type { ResourceType } from "./resource.ts";

/** Every resource type that the provider serves; a new one is a new file and a new line here. */
export const resourceTypes: readonly ResourceType[] = [
  preflight,
  packages,
  file,
  instance,
  replicationGroup,
  pacemakerCluster,
];
