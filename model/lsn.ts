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

/** As PostgreSQL writes it. */
export function lsnText(value: bigint): Lsn {
  return `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffffffffn).toString(16).toUpperCase()}`;
}

const walPageBytes = 8192;
const pageHeaderBytes = 24;
const segmentHeaderBytes = 40;

/**
 * The first position after a record of this length (xl_tot_len). A record that crosses a page boundary is interrupted by
 * that page's header (src/include/access/xlog_internal.h), and records end 8-byte aligned.
 */
export function recordEnd(start: Lsn, bytes: number, walSegmentBytes: number): bigint {
  let position = lsnValue(start);
  let left = bytes;
  for (;;) {
    const room = walPageBytes - Number(position % BigInt(walPageBytes));
    const taken = Math.min(room, left);
    position += BigInt(taken);
    left -= taken;
    if (left === 0) break;
    position += BigInt(position % BigInt(walSegmentBytes) === 0n ? segmentHeaderBytes : pageHeaderBytes);
  }
  return ((position + 7n) / 8n) * 8n;
}

/** "16MB" in bytes. */
export function segmentBytes(walSegmentSize: string): number {
  return Number.parseInt(walSegmentSize, 10) * 1024 * 1024;
}
