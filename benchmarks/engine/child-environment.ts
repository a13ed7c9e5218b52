/** The environment that measured programs run in. */

/** Where models are kept; every other setting of the user would change what is measured. */
const kept = ["INKSTONE_CACHE_DIR", "INKSTONE_OFFLINE"];

/** This process's environment without Inkstone's settings, but for those of the model store. */
export function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("INKSTONE_") || kept.includes(name)),
  );
}
