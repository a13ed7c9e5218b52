/** A pool of compute threads. Without one, the library starts its threads anew for every graph that it computes. */
import koffi from "koffi";
import { InkstoneError } from "../errors.ts";
import { deviceTypes, structs, threadpoolFreeType, threadpoolNewType } from "./abi.ts";
import type { Pointer } from "./abi.ts";
import { Handle } from "./handle.ts";
import type { Native } from "./library.ts";
import { NativeMemory } from "./memory.ts";

/**
 * Starts a pool with the CPU backend that was loaded. Its threads sleep between graphs (no polling), so that they leave
 * the processor to the server's other processes. The pool is freed with `owner`. Throws `native_mismatch` when that backend offers no pool.
 */
export function createThreadpool(native: Native, threads: number, owner: Handle): Pointer {
  const { lib } = native;
  const cpu = lib.ggml_backend_dev_by_type(deviceTypes.indexOf("cpu"));
  const registry = cpu === null ? null : lib.ggml_backend_dev_backend_reg(cpu);
  const find = (name: string): Pointer => {
    const found = registry === null ? null : lib.ggml_backend_reg_get_proc_address(registry, name);
    if (found !== null) return found;
    throw new InkstoneError("native_mismatch", `The CPU backend in ${native.directory} offers no ${name}.`);
  };
  const create = find("ggml_threadpool_new");
  const free = find("ggml_threadpool_free");

  const params = new NativeMemory(koffi.sizeof(structs.threadpoolParams));
  try {
    lib.ggml_threadpool_params_init(params.pointer, threads);
    params.int32(koffi.offsetof(structs.threadpoolParams, "poll"), 1)[0] = 0;
    const pointer = koffi.call(create, threadpoolNewType, params.pointer) as Pointer | null;
    if (pointer === null) {
      throw new InkstoneError("out_of_memory", `A pool of ${threads} threads could not be started.`);
    }
    new Handle(owner, () => {
      koffi.call(free, threadpoolFreeType, pointer);
    });
    return pointer;
  } finally {
    params.free();
  }
}
