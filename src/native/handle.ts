/** What is owned by the native library, and released in order. */

/**
 * A native object with the objects that live in it. `dispose` releases the newest child first, then the object itself;
 * a second call does nothing. So a context goes before its model, and a model before the library.
 */
export class Handle {
  readonly #children = new Set<Handle>();
  readonly #parent: Handle | null;
  readonly #release: () => void;
  #disposed = false;

  constructor(parent: Handle | null, release: () => void) {
    if (parent?.disposed === true) throw new Error("the owner of this native object was disposed");
    this.#parent = parent;
    this.#release = release;
    if (parent !== null) parent.#children.add(this);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const child of [...this.#children].reverse()) child.dispose();
    if (this.#parent !== null) this.#parent.#children.delete(this);
    this.#release();
  }
}

/** Runs `build`; when it throws, `handle` is disposed before the error goes on. */
export function disposeOnError<T>(handle: Handle, build: () => T): T {
  try {
    return build();
  } catch (error) {
    handle.dispose();
    throw error;
  }
}
