/** As much of `http-cache-semantics`, which has no types, as tests use. */
declare module "http-cache-semantics" {
  type Headers = Record<string, string>;

  export default class CachePolicy {
    constructor(
      request: { url: string; method: string; headers: Headers },
      response: { status: number; headers: Headers },
      options?: { shared?: boolean },
    );
    now(): number;
    storable(): boolean;
    evaluateRequest(request: { url: string; method: string; headers: Headers }): {
      readonly response: object | undefined;
      readonly revalidation: { readonly synchronous: boolean } | undefined;
    };
  }
}
