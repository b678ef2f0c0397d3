import { describe, expect, it } from "vitest";
import { addCounts, countRun, countText } from "./testCount.ts";

const test = (status: string) => ({ status, fullName: "a test" });
const goodFile = { name: "good.test.ts", status: "passed", assertionResults: [test("passed"), test("passed")] };

describe("countRun", () => {
  it("counts the tests that passed and failed", () => {
    const badFile = { name: "bad.test.ts", status: "failed", assertionResults: [test("passed"), test("failed")] };
    const report = { numPassedTests: 3, numFailedTests: 1, testResults: [goodFile, badFile] };
    expect(countRun(report, 1)).toEqual({ passed: 3, failed: 1 });
  });

  it("counts a file that could not be loaded as one failure", () => {
    const report = {
      numPassedTests: 2,
      numFailedTests: 0,
      testResults: [goodFile, { name: "bad.test.ts", status: "failed", assertionResults: [] }],
    };
    expect(countRun(report, 1)).toEqual({ passed: 2, failed: 1 });
  });

  it("counts an exit code other than 0 as one failure when every test passed", () => {
    expect(countRun({ numPassedTests: 2, numFailedTests: 0, testResults: [goodFile] }, 1)).toEqual({
      passed: 2,
      failed: 1,
    });
  });

  it("counts a run without any test as one failure", () => {
    expect(countRun({ numPassedTests: 0, numFailedTests: 0, testResults: [] }, 0)).toEqual({ passed: 0, failed: 1 });
  });

  it("counts a run that left no report as one failure", () => {
    expect(countRun(undefined, 0)).toEqual({ passed: 0, failed: 1 });
  });

  it("says that nothing failed when nothing failed", () => {
    expect(countRun({ numPassedTests: 2, numFailedTests: 0, testResults: [goodFile] }, 0)).toEqual({
      passed: 2,
      failed: 0,
    });
  });
});

it("the last line is the sum of all runs", () => {
  expect(
    countText(
      addCounts([
        { passed: 40, failed: 1 },
        { passed: 2, failed: 0 },
      ]),
    ),
  ).toBe("42 passed, 1 failed");
});
