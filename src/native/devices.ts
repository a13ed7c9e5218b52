/** The compute devices that the loaded backends offer. */
import { InkstoneError } from "../errors.ts";
import { deviceTypes } from "./abi.ts";
import type { Pointer } from "./abi.ts";
import type { Native } from "./library.ts";

/** A device as the library names it. */
export interface NativeDevice {
  readonly pointer: Pointer;
  /** Such as "CPU" or "CUDA0". */
  readonly name: string;
  readonly description: string;
  readonly type: (typeof deviceTypes)[number];
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** All devices, in the library's order. */
export function listDevices(native: Native): NativeDevice[] {
  const { lib } = native;
  const devices: NativeDevice[] = [];
  for (let index = 0; index < Number(lib.ggml_backend_dev_count()); index++) {
    const pointer = lib.ggml_backend_dev_get(index);
    if (pointer === null) continue;
    const free = new BigUint64Array(1);
    const total = new BigUint64Array(1);
    lib.ggml_backend_dev_memory(pointer, free, total);
    devices.push({
      pointer,
      name: lib.ggml_backend_dev_name(pointer) ?? "",
      description: (lib.ggml_backend_dev_description(pointer) ?? "").trim(),
      type: deviceTypes[lib.ggml_backend_dev_type(pointer)] ?? "cpu",
      freeBytes: Number(free[0]),
      totalBytes: Number(total[0]),
    });
  }
  return devices;
}

/** Is this a device that layers are offloaded to? */
export function isGpu(device: NativeDevice): boolean {
  return device.type === "gpu" || device.type === "igpu";
}

/**
 * The devices of these names, in the order asked for; "none" and "cpu" stand for no GPU at all.
 * Throws `invalid_config`, naming the devices that exist.
 */
export function selectDevices(devices: readonly NativeDevice[], names: readonly string[]): NativeDevice[] {
  const offered = devices.filter(isGpu);
  return names
    .filter((name) => !["none", "cpu"].includes(name.toLowerCase()))
    .map((name) => {
      const device = offered.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
      if (device !== undefined) return device;
      const known = ["none", ...offered.map((candidate) => candidate.name)].join(", ");
      throw new InkstoneError("invalid_config", `There is no device "${name}"; there are: ${known}.`, {
        param: "device",
      });
    });
}
