import { Command, InvalidArgumentError, Option } from "commander";
import pc from "picocolors";
import { UserError } from "../model/fault.ts";
import { serveBoard } from "./board.ts";
import { describeFaults } from "./faults.ts";
import { hostCondition } from "./host.ts";
import { attachLab, bringUp, describeImage, takeDown } from "./lab.ts";
import { LabImpossible, requireLabMachine } from "./machine.ts";
import { hostNames, labNames, type NetworkName, networkNames } from "./names.ts";
import { readState } from "./state.ts";

interface LabOption {
  readonly lab: string;
}

interface UpOptions extends LabOption {
  readonly hosts: number;
  readonly debian?: "12" | "13";
  readonly prepared?: true;
  readonly pacemaker?: true;
  readonly dataVolume?: number;
}

interface PartitionOptions extends LabOption {
  readonly network?: NetworkName;
  readonly from?: string;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}

function buildProgram(): Command {
  const program = new Command("lab/lab")
    .description("Disposable real hosts (Debian with systemd and sshd) on this machine. Root on Linux is needed.")
    .showHelpAfterError("(lab/lab --help shows every command)");
  const command = (usage: string, description: string): Command =>
    program
      .command(usage)
      .description(description)
      .option("--lab <name>", "which lab: demo, test, bench or another", "demo");

  command("up", "Make and boot hosts pg1, pg2, …; repeating it repairs, starts and heals")
    .option("--hosts <number>", "how many", wholeNumber, 3)
    .addOption(
      new Option("--debian <release>", "release of hosts that are made now (default: 13)").choices(["13", "12"]),
    )
    .option("--prepared", "hosts made now have PostgreSQL's packages already")
    .option("--pacemaker", "hosts made now have Corosync's and Pacemaker's packages too")
    .option(
      "--data-volume <megabytes>",
      "hosts made now keep /var/lib/postgresql on a volume of this size",
      wholeNumber,
    )
    .action(up);
  command("down", "Remove everything the lab made; images stay cached").action(async (options: LabOption) => {
    await takeDown(options.lab, print);
  });
  command("status", "Show what runs, with addresses and faults").action(showStatus);
  command("kill <host>", "The host's power fails").action(async (host: string, options: LabOption) => {
    await attachLab(options.lab).kill(host);
    print(`${host} is dead`);
  });
  command("start <host>", "The host's power comes back").action(async (host: string, options: LabOption) => {
    await attachLab(options.lab, print).start(host);
  });
  command("partition <host>", "Cut the host off, silently, in both directions")
    .addOption(new Option("--network <network>", "only on this network").choices([...networkNames]))
    .option("--from <hosts>", "only from these hosts (pg2,pg3); the machine still reaches it")
    .action(partition);
  command("heal [host]", "End every partition, loss and rate limit (of one host)").action(
    async (host: string | undefined, options: LabOption) => {
      await attachLab(options.lab).heal(host);
      print(host === undefined ? "every network is whole" : `${host}'s networks are whole`);
    },
  );
  command("freeze <host>", "Stall the host where it stands").action(async (host: string, options: LabOption) => {
    await attachLab(options.lab).freeze(host);
    print(`${host} is frozen`);
  });
  command("thaw <host>", "Let a frozen host go on").action(async (host: string, options: LabOption) => {
    await attachLab(options.lab).thaw(host);
    print(`${host} goes on`);
  });
  command("reset <host>", "Make the host bare again; address and keys stay").action(
    async (host: string, options: LabOption) => {
      await attachLab(options.lab, print).reset(host);
    },
  );
  program
    .command("board", { hidden: true })
    .requiredOption("--lab <name>")
    .action(async (options: LabOption) => await serveBoard(labNames(options.lab)));
  return program;
}

async function up(options: UpOptions): Promise<void> {
  await bringUp({
    name: options.lab,
    hosts: options.hosts,
    ...(options.debian === undefined ? {} : { debian: options.debian === "12" ? 12 : 13 }),
    ...preparedOption(options),
    ...(options.dataVolume === undefined ? {} : { dataVolumeMegabytes: options.dataVolume }),
    report: print,
  });
  await showStatus(options);
}

function preparedOption({ prepared, pacemaker }: UpOptions): { prepared?: true | "pacemaker" } {
  if (pacemaker) return { prepared: "pacemaker" };
  return prepared ? { prepared } : {};
}

async function partition(host: string, options: PartitionOptions): Promise<void> {
  await attachLab(options.lab).partition(host, {
    ...(options.network === undefined ? {} : { networks: [options.network] }),
    ...(options.from === undefined ? {} : { from: options.from.split(",") }),
  });
  print(
    `${host} is cut off ${options.from ? `from ${options.from}` : ""}${options.network ? ` on ${options.network}` : ""}`,
  );
}

async function showStatus(options: LabOption): Promise<void> {
  requireLabMachine();
  const state = readState(options.lab);
  if (state === undefined) {
    print(`lab ${options.lab} does not exist`);
    return;
  }
  const names = labNames(options.lab);
  for (const host of state.hosts) {
    const condition = hostCondition(names, host.name);
    const faults = await describeFaults(names, hostNames(options.lab, host.number));
    const { service, cluster, replication } = host.addresses;
    print(
      [host.name.padEnd(5), condition.padEnd(8), service, cluster, replication, describeImage(host), ...faults].join(
        "  ",
      ),
    );
  }
  print(
    `ssh -i ${state.keyFile} -o UserKnownHostsFile=${state.knownHostsFile} root@${state.hosts[0]?.addresses.service}`,
  );
}

try {
  await buildProgram().parseAsync();
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red("error")} ${text}\n`);
  if (!(error instanceof UserError) && process.env.PGHA_DEBUG && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  process.exitCode = error instanceof LabImpossible ? 2 : 1;
}
