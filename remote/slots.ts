/** A limit on how many may do something at the same time; the others wait in line. */
export interface Slots {
  /** Settles with the function that gives the slot back. Rejects with the signal's reason when it is aborted while waiting. */
  take(signal?: AbortSignal): Promise<() => void>;
  /** The server accepts fewer than we thought: from now on at most as many as are taken besides the one that was refused. */
  shrink(): void;
  taken(): number;
}

export function createSlots(limit: number): Slots {
  let most = limit;
  let taken = 0;
  const line: (() => void)[] = [];

  function release(): void {
    taken -= 1;
    while (taken < most && line.length > 0) line.shift()?.();
  }

  function enter(): () => void {
    taken += 1;
    let given = true;
    return () => {
      if (given) release();
      given = false;
    };
  }

  function take(signal?: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (taken < most) return resolve(enter());
      const admit = () => {
        signal?.removeEventListener("abort", abandon);
        resolve(enter());
      };
      const abandon = () => {
        line.splice(line.indexOf(admit), 1);
        reject(signal?.reason);
      };
      line.push(admit);
      signal?.addEventListener("abort", abandon, { once: true });
    });
  }

  return {
    take,
    shrink() {
      most = Math.max(1, Math.min(most, taken - 1));
    },
    taken: () => taken,
  };
}
