/**
 * Lets tests import `sluice/test` and `sluice/plugin` where nothing is installed: loaded by `sluice test` before them.
 * What is installed beside the tests comes first. TypeScript is in modules, as plugins are, also in a package of CommonJS,
 * which is what `npm init` makes.
 */
import { type ResolveFnOutput, registerHooks } from "node:module";
import { extname } from "node:path";

const extension = extname(import.meta.url);
const OWN: ReadonlyMap<string, string> = new Map([
  ["sluice/test", new URL(`test-gateway${extension}`, import.meta.url).href],
  ["sluice/plugin", new URL(`../script/define-plugin${extension}`, import.meta.url).href],
]);
/** Of this package: a build of it that is found there may be older. */
const ROOT = new URL("../../", import.meta.url).href;

registerHooks({
  resolve(specifier, context, nextResolve) {
    const own = OWN.get(specifier);
    if (own === undefined) return asModule(nextResolve(specifier, context));
    let found: ResolveFnOutput | undefined;
    try {
      found = nextResolve(specifier, context);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    }
    const isOther = found !== undefined && !found.url.startsWith(ROOT);
    return isOther ? found! : { url: own, shortCircuit: true };
  },
});

function asModule(found: ResolveFnOutput): ResolveFnOutput {
  return found.format === "commonjs-typescript" ? { ...found, format: "module-typescript" } : found;
}
