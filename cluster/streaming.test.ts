import { describe, expect, it } from "vitest";
import { waitUntilStreaming } from "./streaming.ts";

describe("waiting for standbys", () => {
  /** What is told at the first look, at the second, and so on; the last for ever. */
  function told(...looks: (readonly string[])[]): () => Promise<readonly string[]> {
    return async () => (looks.length > 1 ? looks.shift() : looks[0]) ?? [];
  }

  it("ends once all that are wanted stream, whoever else does", async () => {
    const read = told([], ["pg2"], ["other", "pg3", "pg2"]);
    await waitUntilStreaming(read, "pg1", ["pg2", "pg3"], 20);
    expect(await read()).toEqual(["other", "pg3", "pg2"]);
  });

  it("looks at nothing when nobody is wanted", async () => {
    const read = () => Promise.reject(new Error("looked"));
    await waitUntilStreaming(read, "pg1", [], 20);
  });

  it.each<[string, readonly string[], string]>([
    ["some stream", ["pg2"], "pg2"],
    ["none streams", [], "nobody"],
  ])("says who streams and who was awaited when the time is over: %s", async (_, streaming, seen) => {
    await expect(waitUntilStreaming(told(streaming), "pg1", ["pg2", "pg3"], 0.1)).rejects.toThrow(
      `waited 0.1 s for pg2, pg3 to stream from pg1; last seen: streaming: ${seen}`,
    );
  });
});
