/** Reads little-endian values from a file through a window, so that no file is held in memory. */
import { readSync } from "node:fs";

/** Thrown when the file ends inside a value; `neededBytes` is the size that the file would have to have at least. */
export class EndOfFileError extends Error {
  readonly neededBytes: number;

  constructor(neededBytes: number) {
    super(`the file ends before byte ${neededBytes}`);
    this.name = "EndOfFileError";
    this.neededBytes = neededBytes;
  }
}

const windowBytes = 1 << 20;

/** A cursor over an open file. Positions and sizes are bytes. */
export class ByteReader {
  readonly #fd: number;
  readonly #fileSizeBytes: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;

  constructor(fd: number, fileSizeBytes: number) {
    this.#fd = fd;
    this.#fileSizeBytes = fileSizeBytes;
  }

  get position(): number {
    return this.#position;
  }

  get remainingBytes(): number {
    return this.#fileSizeBytes - this.#position;
  }

  /** Moves on without reading. Throws EndOfFileError when that is past the end. */
  skip(nBytes: number): void {
    const end = this.#position + nBytes;
    if (end > this.#fileSizeBytes) throw new EndOfFileError(end);
    this.#position = end;
  }

  u8(): number {
    return this.#window[this.#take(1)] ?? 0;
  }

  i8(): number {
    return (this.u8() << 24) >> 24;
  }

  u16(): number {
    return this.#window.readUInt16LE(this.#take(2));
  }

  i16(): number {
    return this.#window.readInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#window.readUInt32LE(this.#take(4));
  }

  i32(): number {
    return this.#window.readInt32LE(this.#take(4));
  }

  f32(): number {
    return this.#window.readFloatLE(this.#take(4));
  }

  f64(): number {
    return this.#window.readDoubleLE(this.#take(8));
  }

  u64(): bigint {
    return this.#window.readBigUInt64LE(this.#take(8));
  }

  i64(): bigint {
    return this.#window.readBigInt64LE(this.#take(8));
  }

  /** An unsigned 64-bit value as a number; exact below 2^53, which every length that fits a file is. */
  size(): number {
    const at = this.#take(8);
    return this.#window.readUInt32LE(at + 4) * 0x1_0000_0000 + this.#window.readUInt32LE(at);
  }

  /** The next bytes; what is returned is overwritten by nothing. */
  bytes(nBytes: number): Buffer {
    if (nBytes <= windowBytes) {
      const at = this.#take(nBytes);
      return Buffer.from(this.#window.subarray(at, at + nBytes));
    }
    const start = this.#position;
    this.skip(nBytes);
    const buffer = Buffer.alloc(nBytes);
    this.#fill(buffer, start);
    return buffer;
  }

  /** Makes sure that the next bytes are in the window, moves on, and returns where in the window they begin. */
  #take(nBytes: number): number {
    const start = this.#position;
    this.skip(nBytes);
    const at = start - this.#windowStart;
    if (at >= 0 && at + nBytes <= this.#window.length) return at;
    const length = Math.min(windowBytes, this.#fileSizeBytes - start);
    this.#window = Buffer.alloc(length);
    this.#windowStart = start;
    this.#fill(this.#window, start);
    return 0;
  }

  #fill(buffer: Buffer, start: number): void {
    let filled = 0;
    while (filled < buffer.length) {
      const nRead = readSync(this.#fd, buffer, filled, buffer.length - filled, start + filled);
      if (nRead === 0) throw new EndOfFileError(start + buffer.length);
      filled += nRead;
    }
  }
}
