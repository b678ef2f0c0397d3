import { defineConfig } from "vitest/config";

const rooms = [
  "model",
  "remote",
  "provider",
  "components",
  "cluster",
  "cli",
  "console",
  "stacks",
  "lab",
  "tools",
  "policies",
];

/** One project for each kind of machine a test needs: none, one with the Pulumi CLI, one with real hosts. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "quick",
          include: [
            ...rooms.map((room) => `${room}/**/*.test.ts`),
            "test/*.test.ts",
            "test/contract/**/*.test.ts",
            "test/explorer/**/*.test.ts",
            "test/mocks/**/*.test.ts",
          ],
        },
      },
      // The host helper on pretended hosts: many processes, and a /proc.
      {
        test: {
          name: "agent",
          include: process.platform === "linux" ? ["test/agent/**/*.test.ts"] : [],
        },
      },
      {
        test: {
          name: "cli",
          include: ["test/cli/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      // Real hosts are one shared thing, and outages are measured on them: one file at a time.
      {
        test: {
          name: "lab",
          include: ["test/lab/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: "acceptance",
          include: ["test/acceptance/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 900_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
