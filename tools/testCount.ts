/** How many tests of one or several runs passed and failed. Skipped tests count as neither. */
export interface TestCount {
  readonly passed: number;
  readonly failed: number;
}

/** What we read of vitest's JSON report. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    /** Path of the file. */
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      /** Milliseconds; of a test that was not run there is none. */
      readonly duration?: number | null;
      /** What the test itself has noted. */
      readonly meta?: { readonly measured?: string | undefined } | undefined;
    }[];
  }[];
}

/**
 * Counts one run. Every way to fail without a failed test counts as one failure, so that "0 failed" is never said
 * of a bad run: a file that could not be loaded, a run that ended with another exit code than 0 (an unhandled
 * rejection, a crash, a limit), and a run in which no test ran at all.
 */
export function countRun(report: VitestReport | undefined, exitCode: number): TestCount {
  if (report === undefined) return { passed: 0, failed: 1 };
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const passed = report.numPassedTests;
  const failed = report.numFailedTests + brokenFiles;
  const isSilentFailure = failed === 0 && (exitCode !== 0 || passed === 0);
  return { passed, failed: isSilentFailure ? 1 : failed };
}

export function addCounts(counts: readonly TestCount[]): TestCount {
  return counts.reduce((sum, count) => ({ passed: sum.passed + count.passed, failed: sum.failed + count.failed }), {
    passed: 0,
    failed: 0,
  });
}

/** The last line of `make test`: "41 passed, 0 failed". */
export function countText(count: TestCount): string {
  return `${count.passed} passed, ${count.failed} failed`;
}
