import { z } from "zod";
import { duration } from "./duration.ts";
import { type MaintenanceWindow, maintenanceWindowSchema } from "./maintenanceWindow.ts";
import { type DeclaredPgsql, pgsqlParametersSchema } from "./pacemaker/pgsqlParameters.ts";
import {
  migrationThresholdSchema,
  operationsSchema,
  type Supervision,
  stickinessSchema,
} from "./pacemaker/supervision.ts";
import { absolutePath, addressWithPrefix, expected, hostName, port } from "./schema.ts";

/** Major versions whose packages and settings we know. Proved on hosts: 15 and 17. */
export const supportedVersions = [15, 16, 17, 18] as const;

const memberSchema = z.strictObject({
  /** The host it runs on. Default: the host of the member's own name. */
  host: hostName.optional(),
  /** TCP port. Default 5432. Several instances on one host differ by port. */
  port: port.default(5432),
  /** PGDATA. Default /var/lib/postgresql/VERSION/CLUSTER-MEMBER. Its parent must exist or be creatable. */
  dataDirectory: absolutePath.optional(),
  /** Where pg_wal lies, when on a volume of its own. Default: inside PGDATA. Decided at creation. */
  walDirectory: absolutePath.optional(),
  /** May it become primary, and does it count for synchronous commit? Default true. */
  candidate: z.boolean().default(true),
});

const relaxing = {
  /**
   * What becomes of commits when fewer standbys stream than they wait for. "block" (default): they wait. "relax": after
   * relaxAfter they go on without, and until standbys have everything again nobody but this primary is promoted. Needs
   * failover.manager pacemaker, fencing, and no quorum device.
   */
  onLoss: z.enum(["block", "relax"], expected('"block" or "relax"', "Write one of the two.")).default("block"),
  /** For how long they wait with onLoss: relax. Default 30s, at least 10s. */
  relaxAfter: duration.optional(),
};

const synchronousSchema = z
  .union(
    [
      z.literal("off"),
      z.strictObject({
        /** ANY k: each commit waits for as many candidates besides the primary, whichever are first. */
        quorum: z.int().min(1),
        ...relaxing,
      }),
      z.strictObject({
        /** FIRST k: each commit waits for the first so many candidates that are there, in the order of their names. */
        priority: z.int().min(1),
        ...relaxing,
      }),
    ],
    expected('{ quorum: 1 }, { priority: 1 } or "off"', "Write one of the three."),
  )
  .refine(
    (value) => value === "off" || value.onLoss === "relax" || value.relaxAfter === undefined,
    expected("relaxAfter with onLoss: relax alone", "Write onLoss: relax, or remove relaxAfter."),
  );

/** Limits of the checks before a switchover: what a cluster's stack file may set under `limits`. */
export const limitsSchema = z.strictObject({
  /** Largest replay lag of the target, in bytes, with which a switchover begins. Default 16 MiB. */
  lagBytes: z
    .int()
    .min(0)
    .default(16 * 1024 * 1024),
  /** Largest replay lag of the target, in seconds. Default 10. */
  lagSeconds: z.number().min(0).default(10),
  /** Oldest open transaction on the primary, in seconds, above which a switchover warns. Default 60. */
  transactionSeconds: z.number().min(0).default(60),
  /** A query on the primary that has been running for longer, in seconds, makes a switchover warn. Default 10. */
  querySeconds: z.number().min(0).default(10),
  /**
   * Longest silence of whoever streams from the primary, in seconds, before a switchover warns: the fast stop waits for
   * it. Default 4, less than the 5 of wal_sender_timeout. Raise both together.
   */
  senderSeconds: z.number().min(0).default(4),
  /** Files that wait to be archived on the primary, above which a switchover warns. Default 8. */
  archiveFiles: z.int().min(0).default(8),
  /** Least free space on the volume of pg_wal, on the primary and on the target, in bytes. Default 256 MiB. */
  walRoomBytes: z
    .int()
    .min(0)
    .default(256 * 1024 * 1024),
  /** Largest difference between the clocks of two hosts, in seconds, before a switchover warns. Default 2. */
  clockSeconds: z.number().min(0).default(2),
  /**
   * With several rings: pairs of hosts that do not hear each other on one of them. More block a switchover. Default 0. No
   * consequence without Corosync.
   */
  brokenRings: z.int().min(0).default(0),
  /** Longest wait for the primary's fast stop before the switchover is undone, in seconds. Default 30. */
  stopSeconds: z.number().min(1).max(600).default(30),
});

const slotNameSchema = z
  .string()
  .regex(
    /^[a-z0-9_]{1,63}$/,
    expected("the name of a replication slot: small letters, digits and underscores", "Correct it.").error,
  );

const failoverSchema = z.discriminatedUnion(
  "manager",
  [
    z.strictObject({
      /** "none": nobody promotes when a host dies. */
      manager: z.literal("none"),
    }),
    z.strictObject({
      /** "pacemaker": Corosync and Pacemaker detect, fence and promote, and own the virtual IPs. */
      manager: z.literal("pacemaker"),
      /** The resource agent: "paf" (default), or "pgsql", ocf:heartbeat:pgsql, for two members. */
      agent: z.enum(["paf", "pgsql"], expected('"paf" or "pgsql"', "Write one of the two.")).default("paf"),
      /** Parameters of the agent pgsql. Default: its own. */
      pgsql: pgsqlParametersSchema.optional(),
      /** Which entry of pgha:pacemaker it belongs to. Default: the only one. */
      corosync: hostName.optional(),
      /**
       * Whether a primary whose place another member took comes back by itself when its host boots, rewound where it must be;
       * a clone is left to `pulumi up`. Default false: what it wrote alone is first shown by preview.
       */
      autoRejoin: z.boolean(expected("true or false", "Write one of the two.")).default(false),
      /** Limits of the agent's operations, how often it looks at each role, and what follows when one fails. Default: as documented. */
      operations: operationsSchema.optional(),
      /** Points by which Pacemaker leaves an instance where it runs (resource-stickiness). Default 10. */
      stickiness: stickinessSchema.optional(),
      /** Failures within 60 s after which an instance may not run on that host until they are forgotten. Default 5. */
      migrationThreshold: migrationThresholdSchema.optional(),
    }),
  ],
  expected('a manager: "none" or "pacemaker"', "pgpool and repmgr are not available in this version."),
);

const virtualIpSchema = z.union(
  [
    addressWithPrefix.transform((both) => ({ ...both, nic: undefined })),
    z
      .strictObject({
        /** Address and the bits of its network, such as 198.51.100.50/24. */
        address: addressWithPrefix,
        /** The interface that carries it. Default: the one that has an address in the same network. */
        nic: z
          .string()
          .regex(/^[A-Za-z0-9._-]{1,15}$/, expected("the name of a network interface", "Correct it.").error)
          .optional(),
      })
      .transform(({ address, nic }) => ({ ...address, nic })),
  ],
  expected("an address such as 198.51.100.50/24, or { address: ..., nic: ... }", "Write one of the two."),
);

const virtualIpsSchema = z.strictObject({
  /** Where clients find the primary. */
  primary: virtualIpSchema.optional(),
  /** A second one beside the primary, on the network of replication. */
  replication: virtualIpSchema.optional(),
  /** Where clients that only read find a standby; the primary while there is none. It moves with none of the two. */
  readers: virtualIpSchema.optional(),
});

/** One cluster as it stands in the stack file. */
export const clusterSchema = z.strictObject({
  /** Major version of PostgreSQL: 15, 16, 17 or 18. Fixed at creation. */
  postgresVersion: z.union(
    supportedVersions.map((version) => z.literal(version)),
    expected(`a supported major version (${supportedVersions.join(", ")})`, "Choose one of them."),
  ),
  /** The instances of the cluster, by name. */
  members: z.record(
    hostName,
    memberSchema.nullable().transform((member) => member ?? memberSchema.parse({})),
  ),
  /** The member that is to be primary. Changing this line is a planned switchover. */
  primary: z.string(expected("the name of a member", "Name the member that is to be primary.")),
  /** Synchronous commit: { quorum: k } = ANY k, { priority: k } = FIRST k, over all candidates. Default "off". */
  synchronous: synchronousSchema.default("off"),
  /** postgresql.conf settings besides ours. Default: none. */
  parameters: z
    .record(
      z.string(),
      z.union([z.string(), z.number(), z.boolean()], expected("a text, a number, true or false", "Write one value.")),
    )
    .default({}),
  /** Who may connect: names of pgha:networks or networks. Default: nobody but local users. */
  clientNetworks: z.array(z.string()).default([]),
  /** Size of a WAL segment, decided at creation: smaller promotes faster. Default "16MB". */
  walSegmentSize: z
    .enum(["1MB", "2MB", "4MB", "8MB", "16MB", "32MB", "64MB", "128MB", "256MB", "512MB", "1024MB"])
    .default("16MB"),
  /** How much WAL a physical slot may hold back for a member that is away; beyond, it must be cloned anew. Default "10GB". */
  slotSizeLimit: z
    .string()
    .regex(/^[1-9][0-9]*(MB|GB|TB)$/, expected("a size such as 10GB", "Write a whole number and MB, GB or TB.").error)
    .default("10GB"),
  /** Who fails over when a host dies. Default { manager: none }: nobody; a dead process is restarted in place. */
  failover: failoverSchema.default({ manager: "none" }),
  /** Addresses that move with the primary, by what they are for. Default: none. They need a failover manager. */
  virtualIps: virtualIpsSchema.default({}),
  /**
   * What happens when another member than the declared one is primary. "adopt" (default): a warning, nothing is switched;
   * "fail": preview and up stop; "switchBack": a planned switchover back as soon as it is due, a warning until then.
   */
  onDrift: z
    .enum(["adopt", "fail", "switchBack"], expected('"adopt", "fail" or "switchBack"', "Write one of the three."))
    .default("adopt"),
  /** How long the declared member must have streamed before it is switched back to (onDrift: switchBack). Default "10min". */
  switchBackAfter: duration.default("10min"),
  /** When it may be switched back to (onDrift: switchBack). Default: at any time. A changed `primary:` never waits for it. */
  maintenanceWindow: maintenanceWindowSchema.optional(),
  /**
   * How a member that no longer follows comes back. Default "auto": it follows, is rewound, or cloned anew where that is
   * impossible or longer. "rewind-only": never cloned. "manual": a stopped standby is started, nothing else is done.
   */
  rejoin: z
    .enum(["auto", "rewind-only", "manual"], expected('"auto", "rewind-only" or "manual"', "Write one of the three."))
    .default("auto"),
  /** What `pulumi destroy` does: "keep" (default) forgets, "stop" stops the instances, "erase" removes the data. Counts from the last `up`. */
  onDestroy: z.enum(["keep", "stop", "erase"]).default("keep"),
  /** The cluster's name once more, required with onDestroy: erase. */
  eraseConfirmation: z.string().optional(),
  /**
   * Replication slots that may be lost with the old primary: their consumers begin anew on the next one. Default: none,
   * and a logical slot that the target does not have blocks a switchover.
   */
  disposableSlots: z.array(slotNameSchema).default([]),
  /** Limits of the checks before a switchover. */
  limits: limitsSchema.default(() => limitsSchema.parse({})),
});

/** For how many standbys a commit waits: ANY k, FIRST k, or none. */
export type Synchronous = "off" | { readonly quorum: number } | { readonly priority: number };

/** The virtual IPs, by what they are for. */
export type VirtualIps = z.infer<typeof virtualIpsSchema>;
/** What a planned switchover tolerates; beyond it the check before it blocks or warns, or it is undone. */
export type Limits = z.infer<typeof limitsSchema>;

/** One member with every default filled in. */
export interface MemberDeclaration {
  /** Its key under members:, also its application_name and, as pgha_NAME, its slot. */
  readonly name: string;
  /** Name of the host it runs on. Fixed: another host is another member. */
  readonly host: string;
  /** TCP port of PostgreSQL. A changed one needs a restart. */
  readonly port: number;
  /** PGDATA, absolute. Fixed once the member is there. */
  readonly dataDirectory: string;
  /** Where pg_wal lies, absolute. Without it inside PGDATA. Fixed once the member is there. */
  readonly walDirectory?: string;
  /** May it become primary, and does it count for synchronous commit? */
  readonly candidate: boolean;
  /** Where the other members reach it. */
  readonly replicationAddress: string;
  /** Where clients reach it. */
  readonly serviceAddress: string;
  /** Port of its host's sshd, for the other members' hosts too: they ask each other during a handover and after a boot. */
  readonly sshPort: number;
  /** Its host's public key, in the form of authorized_keys. */
  readonly hostKey: string;
}

/** One cluster of the stack file with every default filled in, and without faults. */
export interface ClusterDeclaration
  extends Omit<
    z.infer<typeof clusterSchema>,
    | "members"
    | "synchronous"
    | "parameters"
    | "clientNetworks"
    | "eraseConfirmation"
    | "maintenanceWindow"
    | "failover"
    | "virtualIps"
  > {
  /** Its key under pgha:clusters; with the members' names it names services and directories. */
  readonly name: string;
  /** In the order of the stack file. */
  readonly members: readonly MemberDeclaration[];
  /** For how many standbys a commit waits. */
  readonly synchronous: Synchronous;
  /** After so long commits go on without them. Undefined: never (onLoss: block). */
  readonly relaxAfterSeconds?: number;
  /** Who fails over when a host dies; the Corosync cluster by its name. */
  readonly failover:
    | { readonly manager: "none" }
    | {
        readonly manager: "pacemaker";
        readonly agent: "paf";
        readonly corosync: string;
        /** Only where it is declared. */
        readonly autoRejoin?: true;
      }
    | {
        readonly manager: "pacemaker";
        readonly agent: "pgsql";
        readonly corosync: string;
        readonly pgsql: DeclaredPgsql;
      };
  /** How Pacemaker looks after the instances, where something of it is declared. */
  readonly supervision?: Supervision;
  /** Addresses that move with the primary, by what they are for. */
  readonly virtualIps: Readonly<
    Record<string, { readonly address: string; readonly prefix: number; readonly nic?: string }>
  >;
  /** As text, by name as declared. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Networks only, names resolved. */
  readonly clientNetworks: readonly string[];
  /** The cluster's name once more; without it onDestroy: erase is refused. */
  readonly eraseConfirmation?: string;
  /** When it may be switched back to the declared primary. Without it at any time. */
  readonly maintenanceWindow?: MaintenanceWindow;
}

/** One cluster whose fields are right each by itself; what they mean together is not judged yet. */
export type UncheckedCluster = z.infer<typeof clusterSchema>;
