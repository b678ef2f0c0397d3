import { z } from "zod";
import type { Fault } from "../fault.ts";
import { absolutePath, address, expected, faultsOf, port } from "../schema.ts";
import type { UncheckedFencing } from "./fencing.ts";

/** One device as declared, each field right by itself. */
export type UncheckedDevice = NonNullable<UncheckedFencing["devices"]>[string];

/** What is known of an agent before it is installed; its own metadata has the last word on a host. */
interface KnownAgent {
  /** The Debian package that has it, since Debian 13. */
  readonly package: string;
  /** Its parameters, by the names of its metadata. Those that are not listed are left to the metadata. */
  readonly parameters: z.ZodType;
  /** One of them must be there: how it proves that it may switch hosts off. */
  readonly proofs: readonly string[];
  /** Which parameters are never to stand in clear. */
  readonly secrets: readonly string[];
  /** It switches off the one host that it is part of. */
  readonly isHostsOwn?: boolean;
  /** What it calls a host, where it cannot know the host's name. */
  readonly plug?: { readonly expected: string; readonly pattern: RegExp };
}

const text = (what: string) => z.string(expected(what, "Add it under parameters.")).min(1);
const flag = z.boolean(expected("true or false", "Write one of the two.")).optional();
const where = z
  .string(expected("the device's address, such as 192.0.2.101", "Add it under parameters."))
  .refine((value) => address.safeParse(value).success || /^[A-Za-z0-9.-]+$/.test(value), {
    ...expected("an IP address or a host's name", "Correct it."),
  });
const user = text("the user's name at the device");

const known: Readonly<Record<string, KnownAgent | undefined>> = {
  fence_ipmilan: {
    package: "fence-agents-ipmilan",
    parameters: z.looseObject({
      ip: where,
      ipport: port.optional(),
      username: user,
      lanplus: flag,
      cipher: z.int(expected("the number of a cipher suite, such as 17", "Correct it.")).min(0).max(17).optional(),
      privlvl: z
        .enum(
          ["callback", "user", "operator", "administrator"],
          expected("a privilege level of IPMI: callback, user, operator or administrator", "Write one of them."),
        )
        .optional(),
      method: z.enum(["onoff", "cycle"], expected('"onoff" or "cycle"', "Write one of the two.")).optional(),
    }),
    proofs: ["password", "password_script"],
    secrets: ["password"],
    isHostsOwn: true,
  },
  fence_redfish: {
    package: "fence-agents-redfish",
    parameters: z.looseObject({
      ip: where,
      ipport: port.optional(),
      username: user,
      ssl_secure: flag,
      ssl_insecure: flag,
      systems_uri: z.string(expected("a path such as /redfish/v1/Systems/1", "Correct it.")).startsWith("/").optional(),
    }),
    proofs: ["password", "password_script"],
    secrets: ["password"],
    isHostsOwn: true,
  },
  fence_virsh: {
    package: "fence-agents-virsh",
    parameters: z.looseObject({
      ip: where,
      ipport: port.optional(),
      username: user,
      identity_file: absolutePath.optional(),
      missing_as_off: flag,
    }),
    proofs: ["identity_file", "password", "password_script"],
    secrets: ["password"],
    plug: { expected: "the name of its virtual machine, such as { pg1: vm-pg1 }", pattern: /^[A-Za-z0-9._-]+$/ },
  },
  fence_aws: {
    package: "fence-agents-aws",
    parameters: z.looseObject({
      region: z
        .string(expected("a region such as eu-central-1", "Add it under parameters."))
        .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, expected("a region such as eu-central-1", "Correct it.").error),
      access_key: z.string().optional(),
      skip_race_check: flag,
    }),
    proofs: [],
    secrets: ["secret_key"],
    plug: {
      expected: "the id of its instance, such as { pg1: i-0123456789abcdef0 }",
      pattern: /^i-([0-9a-f]{8}|[0-9a-f]{17})$/,
    },
  },
  fence_sbd: {
    package: "fence-agents-sbd",
    parameters: z.looseObject({
      devices: z
        .string(expected("the shared disks, such as /dev/disk/by-id/scsi-1", "Add them under parameters."))
        .regex(
          /^\/dev\/[^,\s]+(,\/dev\/[^,\s]+){0,2}$/,
          expected("one to three disks, with commas between them", "Correct it.").error,
        ),
      sbd_path: absolutePath.optional(),
    }),
    proofs: [],
    secrets: [],
  },
};

/** The Debian package of a known agent; undefined: none is known. */
export function packageOf(agent: string): string | undefined {
  return known[agent]?.package;
}

/** The rules about one device that follow from what its agent is. None for an agent that is not known: its metadata is asked on a host. */
export function agentFaults(device: UncheckedDevice, at: readonly string[]): Fault[] {
  const agent = known[device.agent];
  if (agent === undefined) return [];
  const { parameters, secretParameters, hosts } = device;
  const path = [...at, "parameters"];
  const typed = agent.parameters.safeParse(parameters);
  // One that is secret is there, whatever it will be.
  const faults = typed.success
    ? []
    : faultsOf(typed.error, parameters, path).filter((fault) => !((fault.path.at(-1) ?? "") in secretParameters));
  for (const name of agent.secrets.filter((one) => one in parameters)) {
    faults.push({
      path: [...path, name],
      found: "a secret in clear",
      expected: `it under secretParameters, with the key of pgha:fencingSecrets that has it`,
      remedy: `Write secretParameters: { ${name}: KEY }, and change the secret: it stood in a file.`,
    });
  }
  const has = (name: string) => name in parameters || name in secretParameters;
  if (agent.proofs.length > 0 && !agent.proofs.some(has)) {
    faults.push({
      path: [...at, "secretParameters"],
      found: `no ${agent.proofs.join(", no ")}`,
      expected: `one of them: ${device.agent} has to prove who it is`,
      remedy: `Add it, such as secretParameters: { ${agent.secrets[0]}: KEY }.`,
    });
  }
  if (agent.isHostsOwn === true && hosts.length > 1 && !has("plug") && hosts.some(({ plug }) => plug === undefined)) {
    faults.push({
      path: [...at, "hosts"],
      found: hosts.map(({ name }) => name).join(", "),
      expected: `one host: at one address ${device.agent} switches off one, whichever of them is meant`,
      remedy: "Declare one device for each host.",
    });
  }
  for (const { name, plug } of hosts) {
    if (agent.plug === undefined || (plug !== undefined && agent.plug.pattern.test(plug))) continue;
    if (plug === undefined && has("plug")) continue;
    faults.push({
      path: [...at, "hosts", name],
      found: plug ?? "only its name here",
      expected: agent.plug.expected,
      remedy: `${device.agent} does not know hosts by the names of the stack file.`,
    });
  }
  return faults;
}
