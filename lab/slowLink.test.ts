import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { openSlowLink } from "./slowLink.ts";

test("a round trip through a link of 80 ms takes 80 ms, and everything arrives in order", async () => {
  const echo = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  const bound = echo.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  const link = await openSlowLink("127.0.0.1", bound.port, 80);
  const socket = connect({ host: link.address, port: link.port });
  const roundTrip = async (text: string): Promise<{ answer: string; tookMilliseconds: number }> => {
    const start = performance.now();
    let answer = "";
    return await new Promise((resolve) => {
      socket.on("data", function take(data) {
        answer += data.toString();
        if (answer.length < text.length) return;
        socket.off("data", take);
        resolve({ answer, tookMilliseconds: performance.now() - start });
      });
      for (const letter of text) socket.write(letter);
    });
  };
  await roundTrip("opening");
  const measured = await roundTrip("abcdefghij");
  socket.destroy();
  await link.stop();
  await new Promise((done) => echo.close(done));
  expect(measured.answer).toBe("abcdefghij");
  expect(measured.tookMilliseconds).toBeGreaterThanOrEqual(79);
  expect(measured.tookMilliseconds).toBeLessThan(250);
});
