import { connect, createServer, type Socket } from "node:net";

/** A TCP relay that stands for distance: what goes through it arrives late. */
export interface SlowLink {
  readonly address: string;
  readonly port: number;
  /** From now on nothing comes through, and neither end is told: a cut cable, not a closed connection. */
  cut(): void;
  /** Closes the relay and every connection through it. */
  stop(): Promise<void>;
}

/**
 * Relays a local port to `address`:`port`; a round trip takes `milliseconds` longer than without it, half of that in each
 * direction, and so does opening a connection. Bandwidth stays as it is.
 */
export async function openSlowLink(address: string, port: number, milliseconds: number): Promise<SlowLink> {
  const sockets = new Set<Socket>();
  let whole = true;
  const isWhole = () => whole;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const server = createServer({ allowHalfOpen: true }, (near) => {
    keep(near);
    near.pause();
    // A handshake and its last acknowledgement: one and a half ways before the far side can speak.
    setTimeout(() => {
      if (near.destroyed) return;
      const far = connect({ host: address, port, allowHalfOpen: true });
      keep(far);
      delay(near, far, milliseconds / 2, isWhole);
      delay(far, near, milliseconds / 2, isWhole);
    }, milliseconds * 1.5);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("slow link: no port");
  return {
    address: "127.0.0.1",
    port: bound.port,
    cut: () => {
      whole = false;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Passes everything on after a delay, in order: timers of one length fire in the order in which they were set. */
function delay(from: Socket, to: Socket, milliseconds: number, isWhole: () => boolean): void {
  const later = (pass: () => void): void => {
    setTimeout(() => {
      if (isWhole() && !to.destroyed) pass();
    }, milliseconds);
  };
  from.on("data", (data) => {
    later(() => {
      if (to.write(data) || from.isPaused()) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
  });
  from.resume();
  from.on("end", () => later(() => to.end()));
  from.on("close", () => later(() => to.destroy()));
}
