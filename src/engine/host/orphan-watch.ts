/**
 * A thread of each child that ends the child when its parent is gone. The main thread learns it from the closed pipe,
 * but not while it is held up in a native call.
 */
import { workerData } from "node:worker_threads";

const parentPid = workerData as number;

setInterval(() => {
  if (process.ppid !== parentPid) process.kill(process.pid, "SIGKILL");
}, 1_000);
