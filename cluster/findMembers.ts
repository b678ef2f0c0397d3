import type { MarkedMember } from "../model/hostFacts.ts";
import { RemoteError } from "../remote/errors.ts";
import type { RemoteHosts } from "../remote/host.ts";
import { readHostFacts } from "./hostFacts.ts";

export interface FoundMembers {
  readonly members: readonly (MarkedMember & { readonly host: string })[];
  readonly unreached: readonly { readonly host: string; readonly reason: string }[];
}

/** Which hosts hold members of this cluster, by the markers that lie there. All hosts are asked at once. */
export async function findMembers(hosts: RemoteHosts, cluster: string): Promise<FoundMembers> {
  const asked = await Promise.all((await hosts.names()).map((host) => askHost(hosts, host)));
  return {
    members: asked.flatMap(({ host, markers }) =>
      markers.filter((marked) => marked.cluster === cluster).map((marked) => ({ ...marked, host })),
    ),
    unreached: asked.flatMap(({ host, reason }) => (reason === undefined ? [] : [{ host, reason }])),
  };
}

async function askHost(
  hosts: RemoteHosts,
  host: string,
): Promise<{ host: string; markers: readonly MarkedMember[]; reason?: string }> {
  try {
    return { host, markers: (await readHostFacts(hosts.host(host), [])).markers };
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    return { host, markers: [], reason: error.message };
  }
}
