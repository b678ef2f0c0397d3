import { expect, it } from "vitest";
import { summaryText } from "./acceptanceSummary.ts";

const machine = { cores: 2, memoryGigabytes: 24, kernel: "6.1", commit: "abc1234" };

it("the summary: what ran where, and each file's tests with their outcome, in the files' order", () => {
  const text = summaryText({
    began: "2026-01-02T03:04:05.678Z",
    machine,
    root: "/somewhere/checkout",
    report: {
      numPassedTests: 2,
      numFailedTests: 1,
      testResults: [
        {
          name: "/somewhere/checkout/test/acceptance/rejoin.test.ts",
          status: "failed",
          assertionResults: [
            {
              fullName: "one whose host died is rewound",
              status: "failed",
              duration: 61_234.5,
              meta: { measured: "5.2 s without a row" },
            },
            { fullName: "a rewind that broke off is cloned | beside", status: "skipped" },
          ],
        },
        { name: "/somewhere/checkout/test/acceptance/zones.test.ts", status: "failed", assertionResults: [] },
        {
          name: "/somewhere/checkout/test/acceptance/explorer.test.ts",
          status: "passed",
          assertionResults: [
            { fullName: "at random nothing goes wrong either (PGHA_SEED=42)", status: "passed", duration: 12_000 },
            { fullName: "with one death nothing goes wrong", status: "passed", duration: 40 },
          ],
        },
      ],
    },
  });
  expect(text).toBe(`\
# Acceptance of 2026-01-02

Begun 2026-01-02T03:04:05.678Z, commit abc1234, 2 cores, 24 GB, Linux 6.1. Written by \`make acceptance\`.

2 passed, 1 failed, 1 not run.

## test/acceptance/explorer.test.ts

| test | outcome | seconds | measured |
|---|---|---|---|
| at random nothing goes wrong either (PGHA_SEED=42) | passed | 12.0 |  |
| with one death nothing goes wrong | passed | 0.0 |  |

## test/acceptance/rejoin.test.ts

| test | outcome | seconds | measured |
|---|---|---|---|
| one whose host died is rewound | **failed** | 61.2 | 5.2 s without a row |
| a rewind that broke off is cloned \\| beside | not run |  |  |

## test/acceptance/zones.test.ts

It could not be loaded.
`);
});

it("outside a git checkout the commit is unknown", () => {
  const { commit: _, ...elsewhere } = machine;
  const report = { numPassedTests: 0, numFailedTests: 0, testResults: [] };
  const text = summaryText({ began: "2026-01-02T03:04:05Z", machine: elsewhere, root: "/", report });
  expect(text).toContain("commit unknown, 2 cores");
  expect(text).toContain("0 passed, 0 failed.\n");
});
