/** Memory outside the JavaScript heap: it does not move, so the library may keep its address. */
import koffi from "koffi";
import type { Pointer } from "./abi.ts";

/** A block of zeroed memory with typed views onto it. Views must not be used after `free`. */
export class NativeMemory {
  readonly pointer: Pointer;
  readonly #buffer: ArrayBuffer;
  #freed = false;

  constructor(sizeBytes: number) {
    this.pointer = koffi.alloc("uint8_t", sizeBytes) as Pointer;
    this.#buffer = koffi.view(this.pointer, sizeBytes);
    new Uint8Array(this.#buffer).fill(0);
  }

  int32(offsetBytes: number, length: number): Int32Array {
    return new Int32Array(this.#buffer, offsetBytes, length);
  }

  int8(offsetBytes: number, length: number): Int8Array {
    return new Int8Array(this.#buffer, offsetBytes, length);
  }

  uint64(offsetBytes: number, length: number): BigUint64Array {
    return new BigUint64Array(this.#buffer, offsetBytes, length);
  }

  float32(offsetBytes: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, offsetBytes, length);
  }

  /** The address of a byte of the block. */
  at(offsetBytes: number): Pointer {
    return this.pointer + BigInt(offsetBytes);
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    koffi.free(this.pointer);
  }
}

/** Floats of the library's own memory, without a copy; valid until the library moves them. */
export function viewFloats(pointer: Pointer, length: number): Float32Array {
  return new Float32Array(koffi.view(pointer, length * Float32Array.BYTES_PER_ELEMENT));
}
