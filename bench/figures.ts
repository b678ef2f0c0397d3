/** What a series of measurements comes to. Percentiles are members of the series (nearest rank), never in between. */
export interface Figures {
  readonly rounds: number;
  readonly least: number;
  readonly p50: number;
  readonly p95: number;
  readonly most: number;
}

/** Undefined for an empty series: no figure is better than a made-up one. */
export function figuresOf(series: readonly number[]): Figures | undefined {
  const sorted = [...series].sort((one, other) => one - other);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  const [least, p50, p95, most] = [sorted[0], rank(0.5), rank(0.95), sorted.at(-1)];
  if (least === undefined || p50 === undefined || p95 === undefined || most === undefined) return undefined;
  return { rounds: sorted.length, least, p50, p95, most };
}

export function median(series: readonly number[]): number | undefined {
  return figuresOf(series)?.p50;
}
