/** As much of `http-cache-tests`, which has no types, and of the client it uses as the conformance run needs. */
declare module "http-cache-tests/*.mjs" {
  export interface CacheTest {
    readonly id: string;
    readonly name: string;
    /** `required` when it does not say. */
    readonly kind?: "required" | "optimal" | "check";
    readonly depends_on?: readonly string[];
    readonly browser_only?: boolean;
  }
  export interface Suite {
    readonly name: string;
    readonly tests: readonly CacheTest[];
  }
  /** By id: passed, or the kind of failure and what it was. */
  export type Results = Readonly<Record<string, true | readonly [kind: string, message: string]>>;

  export function runTests(
    suites: readonly Suite[],
    fetch: unknown,
    isBrowser: boolean,
    baseUrl: string,
    atOnce?: number,
  ): Promise<void>;
  export function getResults(): Results;
  const suites: Suite[];
  const suite: Suite;
  export { suite, suites };
  export default suites;
}

declare module "node-fetch" {
  const fetch: unknown;
  export default fetch;
}
