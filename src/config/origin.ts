/** Where the value of a setting came from. */
export type Origin =
  | { readonly kind: "default" }
  | { readonly kind: "file"; readonly path: string; readonly line: number; readonly key: string }
  | { readonly kind: "environment"; readonly name: string }
  | { readonly kind: "flag"; readonly flag: string }
  | { readonly kind: "argument" };

/** An origin as people read it: `--port`, `INKSTONE_PORT`, `/etc/inkstone.yaml:3`. */
export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case "default":
      return "default";
    case "file":
      return `${origin.path}:${origin.line}`;
    case "environment":
      return origin.name;
    case "flag":
      return origin.flag;
    case "argument":
      return "argument";
  }
}
