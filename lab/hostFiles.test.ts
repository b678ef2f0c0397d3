import { expect, test } from "vitest";
import { networkUnit } from "./hostFiles.ts";

test("the service interface carries the way out, and routes to mirrors whose addresses lie in the lab's ranges", () => {
  expect(networkUnit("host0", "198.51.100.75/26", "198.51.100.65", ["203.0.113.80"])).toBe(
    `[Match]
Name=host0

[Network]
Address=198.51.100.75/26
LinkLocalAddressing=no
DHCP=no
IPv6AcceptRA=no
Gateway=198.51.100.65

[Route]
Destination=203.0.113.80/32
Gateway=198.51.100.65
`,
  );
});

test("the other interfaces lead nowhere but to the other hosts", () => {
  expect(networkUnit("host1", "192.0.2.75/26", undefined, ["203.0.113.80"])).toBe(
    `[Match]
Name=host1

[Network]
Address=192.0.2.75/26
LinkLocalAddressing=no
DHCP=no
IPv6AcceptRA=no
`,
  );
});
