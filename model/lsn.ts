/** A position in the WAL as PostgreSQL writes it ("0/3000148"): 64 bits, compared as a number, never as text. */
export type Lsn = string;

export function lsnValue(lsn: Lsn): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(lsn);
  if (match === null) throw new Error(`not an LSN: ${lsn}`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Bytes from `from` to `to`; negative when `to` lies before. */
export function lsnDifferenceBytes(to: Lsn, from: Lsn): number {
  return Number(lsnValue(to) - lsnValue(from));
}

/** "16MB" in bytes. */
export function segmentBytes(walSegmentSize: string): number {
  return Number.parseInt(walSegmentSize, 10) * 1024 * 1024;
}
