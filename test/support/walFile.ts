import { lsnValue } from "../../model/lsn.ts";

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
