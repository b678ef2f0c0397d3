import { file } from "./file.ts";
import { packages } from "./packages.ts";
import type { ResourceType } from "./resource.ts";

/** Every resource type that the provider serves; a new one is a new file and a new line here. */
export const resourceTypes: readonly ResourceType[] = [packages, file];
