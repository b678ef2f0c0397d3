import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { lsnValue } from "../../model/lsn.ts";
import type { PretendHost } from "./pretendHosts.ts";

const pageBytes = 8192;
const pageHeaderBytes = 24;

/**
 * A file of WAL, of `segmentBytes`, in which at this position (not in its first page) a record of so many bytes begins: its
 * pages as PostgreSQL writes them, the record's own content apart.
 */
export function walFileWithRecord(lsn: string, recordBytes: number, segmentBytes: number): Buffer {
  const begin = lsnValue(lsn);
  const at = Number(begin % BigInt(segmentBytes));
  const file = Buffer.alloc(segmentBytes);
  const first = at - (at % pageBytes);
  let left = recordBytes;
  for (let page = 0; page < segmentBytes; page += pageBytes) {
    const goesOn = page > first && left > 0;
    file.writeUInt16LE(0xd116, page);
    file.writeUInt16LE(goesOn ? 1 : 0, page + 2);
    file.writeUInt32LE(1, page + 4);
    file.writeBigUInt64LE(begin - BigInt(at) + BigInt(page), page + 8);
    file.writeUInt32LE(goesOn ? left : 0, page + 16);
    if (page === first) left -= pageBytes - (at % pageBytes || pageHeaderBytes);
    if (page > first) left -= pageBytes - pageHeaderBytes;
  }
  file.writeUInt32LE(recordBytes, at % pageBytes === 0 ? at + pageHeaderBytes : at);
  return file;
}

/** Of pretended hosts: timeline 3 ends here with a whole record, and the next one goes on in a file that is not there. */
export const partialRecord = { lsn: "1/3FFA0D8", to: "1/4000000", file: "000000030000000100000003" } as const;

const lastWholeRecord =
  "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 1/03FFA060, prev 1/03FFA028, desc: CHECKPOINT_ONLINE\n";

export interface PartialRecord {
  readonly path: string;
  /** The file as it was laid. */
  readonly whole: Buffer;
  /** The same without the record. */
  readonly cut: Buffer;
}

/** The host's WAL ends like that. */
export function layPartialRecord(host: PretendHost): PartialRecord {
  const size = 16 * 1024 ** 2;
  const whole = walFileWithRecord(partialRecord.lsn, 900_000, size);
  const at = Number(lsnValue(partialRecord.lsn) % BigInt(size));
  const path = join(host.dataDirectory, "pg_wal", partialRecord.file);
  writeFileSync(path, whole);
  host.set("data/pg_wal/00000003.history", "1\t0/5000148\tx\n2\t0/6000000\tx\n");
  host.set("last-record", lastWholeRecord);
  return { path, whole, cut: Buffer.concat([whole.subarray(0, at), Buffer.alloc(size - at)]) };
}
