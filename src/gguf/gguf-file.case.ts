/** Writes small GGUF files for tests. */

/** A metadata value with its GGUF type. */
export type TestValue =
  | { readonly type: "u32" | "f32" | "u64" | "bool"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "u32s"; readonly value: readonly number[] };

/** What a test file is to hold; everything has a default that makes a whole file. */
export interface TestGguf {
  readonly version?: number;
  readonly metadata?: Readonly<Record<string, TestValue>>;
  readonly tensors?: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly typeId?: number;
  }[];
  /** Bytes of weights that are written; by default all of them. */
  readonly dataBytes?: number;
}

const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};

const u64 = (value: number | bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
};

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

function encode(entry: TestValue): Buffer {
  switch (entry.type) {
    case "u32":
      return Buffer.concat([u32(4), u32(entry.value)]);
    case "f32": {
      const buffer = Buffer.alloc(4);
      buffer.writeFloatLE(entry.value);
      return Buffer.concat([u32(6), buffer]);
    }
    case "u64":
      return Buffer.concat([u32(10), u64(entry.value)]);
    case "bool":
      return Buffer.concat([u32(7), Buffer.from([entry.value])]);
    case "string":
      return Buffer.concat([u32(8), text(entry.value)]);
    case "strings":
      return Buffer.concat([u32(9), u32(8), u64(entry.value.length), ...entry.value.map(text)]);
    case "u32s":
      return Buffer.concat([u32(9), u32(4), u64(entry.value.length), ...entry.value.map(u32)]);
  }
}

/** A small model of the architecture "llama" with a context of 2,048 and a vocabulary of three. */
export const smallMetadata: Readonly<Record<string, TestValue>> = {
  "general.architecture": { type: "string", value: "llama" },
  "general.name": { type: "string", value: "Small" },
  "general.file_type": { type: "u32", value: 1 },
  "llama.context_length": { type: "u32", value: 2048 },
  "llama.rope.freq_base": { type: "f32", value: 10_000 },
  "tokenizer.ggml.tokens": { type: "strings", value: ["a", "b", "你"] },
  "tokenizer.ggml.token_type": { type: "u32s", value: [1, 1, 1] },
  "tokenizer.chat_template": { type: "string", value: "{{ messages }}" },
};

/** The bytes of a GGUF file with float32 tensors (or the type id given). */
export function buildGguf(options: TestGguf = {}): Buffer {
  const {
    version = 3,
    metadata = smallMetadata,
    tensors = [
      { name: "token_embd.weight", shape: [8, 3] },
      { name: "output_norm.weight", shape: [8] },
    ],
  } = options;
  const entries = Object.entries(metadata).flatMap(([key, value]) => [text(key), encode(value)]);
  let offset = 0;
  const infos = tensors.map(({ name, shape, typeId = 0 }) => {
    const info = Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(typeId), u64(offset)]);
    const sizeBytes = shape.reduce((product, size) => product * size, 1) * 4;
    offset += Math.ceil(sizeBytes / 32) * 32;
    return info;
  });
  const header = Buffer.concat([
    Buffer.from("GGUF"),
    u32(version),
    u64(tensors.length),
    u64(Object.keys(metadata).length),
    ...entries,
    ...infos,
  ]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  return Buffer.concat([header, padding, Buffer.alloc(options.dataBytes ?? offset, 1)]);
}
