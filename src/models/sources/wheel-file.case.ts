/** Writes small wheels (zip archives) for tests. */
import { crc32, deflateRawSync } from "node:zlib";

/** A member of a test wheel. */
export interface TestMember {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  /** Write sizes and offset as archives beyond 4 GB do. */
  readonly zip64?: boolean;
  /** Write this checksum instead of the right one. */
  readonly checksum?: number;
}

const u16 = (...values: number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => buffer.writeUInt16LE(value, index * 2));
  return buffer;
};

const u32 = (...values: number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => buffer.writeUInt32LE(value >>> 0, index * 4));
  return buffer;
};

const u64 = (...values: number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => buffer.writeBigUInt64LE(BigInt(value), index * 8));
  return buffer;
};

/** The bytes of a wheel with these members. */
export function buildWheel(members: readonly TestMember[]): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { path, bytes, deflate = false, zip64 = false, checksum = crc32(bytes) } of members) {
    const name = Buffer.from(path);
    const data = deflate ? deflateRawSync(bytes) : Buffer.from(bytes);
    const head = Buffer.concat([u16(zip64 ? 45 : 20, 0x0800, deflate ? 8 : 0, 0, 0x21), u32(checksum)]);
    const sizes = zip64 ? u32(0xffffffff, 0xffffffff) : u32(data.length, bytes.length);
    const localExtra = zip64 ? Buffer.concat([u16(1, 16), u64(bytes.length, data.length)]) : Buffer.alloc(0);
    const extra = zip64
      ? Buffer.concat([u16(1, 24), u64(bytes.length, data.length, offset)])
      : Buffer.alloc(0);
    const entry = [u32(0x04034b50), head, sizes, u16(name.length, localExtra.length), name, localExtra, data];
    central.push(
      u32(0x02014b50),
      u16(45),
      head,
      sizes,
      u16(name.length, extra.length, 0, 0, 0),
      u32(0, zip64 ? 0xffffffff : offset),
      name,
      extra,
    );
    local.push(...entry);
    offset += entry.reduce((sum, part) => sum + part.length, 0);
  }
  const directory = Buffer.concat(central);
  const end = Buffer.concat([
    u32(0x06054b50),
    u16(0, 0, members.length, members.length),
    u32(directory.length, offset),
    u16(0),
  ]);
  return Buffer.concat([...local, directory, end]);
}
