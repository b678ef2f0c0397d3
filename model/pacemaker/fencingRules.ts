import type { Fault } from "../fault.ts";
import { agentFaults } from "./fenceAgents.ts";
import type { UncheckedFencing } from "./fencing.ts";

/** Which parameters are ours to write, because `hosts:` says it already. */
const ownParameters = ["pcmk_host_list", "pcmk_host_check", "pcmk_host_map"];

/** The rules for fencing: a device for every host, each complete, and levels of devices that can do it. `hosts`: of the Corosync cluster. */
export function fencingFaults(
  fencing: UncheckedFencing | undefined,
  at: readonly string[],
  hosts: readonly string[],
): Fault[] {
  const devices = Object.entries(fencing?.devices ?? {});
  if (devices.length === 0) return [];
  const faults = devices.flatMap(([name, device]): Fault[] => {
    const path = [...at, "devices", name];
    const { parameters, secretParameters } = device;
    return [
      ...device.hosts.flatMap((host, index): Fault[] =>
        hosts.includes(host.name)
          ? []
          : [
              {
                path: [...path, "hosts", host.plug === undefined ? String(index) : host.name],
                found: host.name,
                expected: `a host of this Corosync cluster (${hosts.join(", ")})`,
                remedy: "Correct it.",
              },
            ],
      ),
      ...[...Object.keys(parameters), ...Object.keys(secretParameters)]
        .filter((key) => ownParameters.includes(key))
        .map((key) => ({
          path: [...path, "parameters", key],
          found: "a parameter that follows from hosts:",
          expected: "it to be left out",
          remedy: "Remove it.",
        })),
      ...Object.keys(secretParameters)
        .filter((key) => key in parameters)
        .map((key) => ({
          path: [...path, "secretParameters", key],
          found: `${key}, which parameters: has too`,
          expected: "each parameter once",
          remedy: "Remove one of the two.",
        })),
      ...agentFaults(device, path),
    ];
  });
  const covered = new Set(devices.flatMap(([, device]) => device.hosts.map(({ name }) => name)));
  const without = hosts.filter((name) => !covered.has(name));
  return [
    ...faults,
    ...levelFaults(fencing ?? {}, [...at, "levels"], hosts),
    ...(without.length === 0
      ? []
      : [
          {
            path: [...at, "devices"],
            found: `no device that can switch off ${without.join(", ")}`,
            expected: "one for every host: what ran on a host without one is never taken over",
            remedy: "Add it to a device's hosts:, or declare another device.",
          },
        ]),
  ];
}

function levelFaults(
  { devices = {}, levels = {} }: UncheckedFencing,
  at: readonly string[],
  hosts: readonly string[],
): Fault[] {
  return Object.entries(levels).flatMap(([host, own]): Fault[] => {
    if (!hosts.includes(host)) {
      return [
        {
          path: [...at, host],
          found: host,
          expected: `a host of this Corosync cluster (${hosts.join(", ")})`,
          remedy: "Correct it.",
        },
      ];
    }
    const seen = new Set<string>();
    return own.flatMap((level, index) =>
      level.flatMap((name, place): Fault[] => {
        const path = [...at, host, String(index), String(place)];
        const device = devices[name];
        const twice = seen.has(name);
        seen.add(name);
        if (device === undefined) {
          return [
            { path, found: name, expected: `a device (${Object.keys(devices).join(", ")})`, remedy: "Correct it." },
          ];
        }
        if (!device.hosts.some((one) => one.name === host)) {
          return [
            {
              path,
              found: `${name}, which cannot switch off ${host}`,
              expected: `a device that has ${host} in its hosts:`,
              remedy: "Add it there, or name another device.",
            },
          ];
        }
        if (!twice) return [];
        return [
          {
            path,
            found: `${name} a second time`,
            expected: "each device once for a host",
            remedy: "Remove one of the two.",
          },
        ];
      }),
    );
  });
}
