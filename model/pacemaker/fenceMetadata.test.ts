import { expect, it } from "vitest";
import { faultText } from "../fault.ts";
import { deviceFaults } from "./fenceMetadata.ts";

/** Shortened from what agents of Debian 13 print. */
const metadata = `<?xml version="1.0" ?>
<resource-agent name="fence_board" shortdesc="Fence agent" >
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string" default="reboot"  /></parameter>
	<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string"  /></parameter>
	<parameter name="ipaddr" unique="0" required="1" deprecated="1"><content type="string"  /></parameter>
	<parameter name="lanplus" unique="0" required="0"><content type="boolean"  /></parameter>
	<parameter name="plug" unique="0" required="1" obsoletes="port"><content type="string"  /></parameter>
	<parameter name="username" unique="0" required="1" obsoletes="login"><content type="string"  /></parameter>
</parameters>
</resource-agent>`;

function faults(...parameters: string[]): string[] {
  const path = ["pgha:pacemaker", "main", "fencing", "devices", "board"];
  return deviceFaults(path, "fence_board", parameters, metadata).map(faultText);
}

it("a device with all that its agent requires is right, by the new names or the old, with Pacemaker's own besides", () => {
  expect(faults("ip", "username", "lanplus", "pcmk_host_list", "pcmk_delay_base", "priority")).toEqual([]);
  expect(faults("ipaddr", "login").filter((text) => !text.includes("does not know"))).toEqual([]);
});

it("a parameter that the agent does not know, and one that it requires and does not get, are told", () => {
  expect(faults("ip", "lanpluss")).toEqual([
    "pgha:pacemaker.main.fencing.devices.board.parameters.lanpluss: found a parameter that fence_board does not know, expected one of action, ip, lanplus, plug, username. Correct its spelling or remove it.",
    "pgha:pacemaker.main.fencing.devices.board.parameters.username: found nothing, expected a value: fence_board requires it. Add it under parameters or secretParameters.",
  ]);
});

it("an agent that prints something else is told by its name", () => {
  expect(() => deviceFaults([], "fence_board", [], "usage: fence_board")).toThrow(
    'fence_board: found "usage: fence_board", expected its XML.',
  );
});
