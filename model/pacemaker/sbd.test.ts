import { expect, it } from "vitest";
import { faultText } from "../fault.ts";
import { sbdFaults } from "./sbd.ts";

const device = { operations: {}, meta: {} };
const disks = {
  "pgha-fence-disks": {
    ...device,
    agent: "stonith:fence_sbd",
    parameters: { devices: "/dev/sdb,/dev/sdc", pcmk_host_list: "pg1 pg2" },
  },
};

it("a host that watches the disks is fenced by them", () => {
  expect(sbdFaults("pg1", { enabled: true, devices: ["/dev/sdc", "/dev/sdb"] }, disks)).toEqual([]);
});

it("one whose sbd does not start, or watches other disks, is not", () => {
  const text = (facts: Parameters<typeof sbdFaults>[1]) => sbdFaults("pg1", facts, disks).map(faultText);
  expect(text({ enabled: false, devices: ["/dev/sdb", "/dev/sdc"] })).toEqual([
    'pgha:hosts.pg1: found sbd that does not start with Corosync, expected it to watch /dev/sdb, /dev/sdc: what is written there switches nobody off otherwise. There: SBD_DEVICE="/dev/sdb;/dev/sdc" and a watchdog in /etc/default/sbd, `systemctl enable sbd`.',
  ]);
  expect(text({ enabled: true, devices: ["/dev/sdb"] })).toEqual([
    expect.stringContaining("found sbd that watches /dev/sdb, expected"),
  ]);
  expect(text({ enabled: true, devices: [] })).toEqual([expect.stringContaining("found sbd that watches no disk")]);
});

it("hosts and devices of another kind are not asked", () => {
  const none = { enabled: false, devices: [] };
  expect(sbdFaults("pg3", none, disks)).toEqual([]);
  const board = { ...device, agent: "stonith:fence_ipmilan", parameters: { pcmk_host_list: "pg1" } };
  expect(sbdFaults("pg1", none, { board })).toEqual([]);
});
