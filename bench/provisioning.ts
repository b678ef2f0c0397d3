import type { Lab } from "../lab/lab.ts";
import { median } from "./figures.ts";
import type { Measurement } from "./measurement.ts";
import { type Section, secondsText } from "./section.ts";
import { newStack, timed, up } from "./stack.ts";

const most = 3;
const limitSeconds = 600;

/**
 * Three bare Debian hosts to a cluster that takes writes, ours and a careful administrator's parallel shell script in
 * turn, on the same hosts made bare before each: only the ratio means anything on another machine.
 */
export const provisioning: Section = {
  name: "provisioning",
  limitMinutes: 30,
  async run(bench) {
    const lab = await bench.lab(false);
    const ours: number[] = [];
    const byHand: number[] = [];
    try {
      for (let round = 0; round < Math.min(bench.rounds, most); round++) {
        bench.checkTime();
        await makeBare(lab);
        await newStack(lab, { walSegmentSize: "16MB" });
        ours.push(await up(limitSeconds));
        bench.report(`pulumi up from bare hosts: ${secondsText(ours.at(-1) ?? 0)}`);
        if (bench.byHandScript === undefined) continue;
        await makeBare(lab);
        const addresses = lab.hosts.slice(0, 3).map((host) => host.address);
        byHand.push(await timed(bench.byHandScript, [lab.keyFile, ...addresses], limitSeconds, process.env));
        bench.report(`by hand from bare hosts: ${secondsText(byHand.at(-1) ?? 0)}`);
      }
    } finally {
      const what: Measurement[] = [{ what: "`pulumi up` from bare hosts", seconds: ours }];
      if (bench.byHandScript !== undefined) what.push({ what: "a parallel shell script, by hand", seconds: byHand });
      for (const measurement of what) bench.keep(measurement);
    }
    const [one, other] = [median(ours), median(byHand)];
    if (one === undefined || other === undefined) return {};
    return { ratio: { what: "`pulumi up` / by hand (medians)", value: one / other, goal: 1.2 } };
  },
};

async function makeBare(lab: Lab): Promise<void> {
  await Promise.all(lab.hosts.slice(0, 3).map((host) => lab.reset(host.name)));
}
