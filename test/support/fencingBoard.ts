import type { Lab } from "../../lab/lab.ts";

/** The key of pgha:fencingSecrets that has the board's password. */
export const boardSecret = "board";

/** The lab's management board as the stack file declares it: a fence device for each host. */
export function boardDevices(
  { address, port, user }: Pick<Lab["board"], "address" | "port" | "user">,
  hosts: readonly { readonly name: string }[],
) {
  const device = (host: string) => ({
    agent: "fence_redfish",
    package: "fence-agents-redfish",
    hosts: [host],
    parameters: {
      ip: address,
      ipport: port,
      username: user,
      ssl_insecure: true,
      systems_uri: `/redfish/v1/Systems/${host}`,
    },
    secretParameters: { password: boardSecret },
  });
  return Object.fromEntries(hosts.map(({ name }) => [`board-${name}`, device(name)]));
}
