/** Signs requests as they leave for a target. */
import { type KeyObject, randomUUID } from "node:crypto";
import { type SignatureAlgorithm, signBase } from "../../core/http-signatures/algorithms.ts";
import { type NamedComponent, readComponent } from "../../core/http-signatures/components.ts";
import { contentDigest } from "../../core/http-signatures/content-digest.ts";
import { outgoingRequest } from "../../core/http-signatures/outgoing-request.ts";
import { signatureBase } from "../../core/http-signatures/signature-base.ts";
import { addSignature } from "../../core/http-signatures/signature-fields.ts";
import type { InnerList } from "../../core/http-signatures/structured-fields.ts";
import {
  BytesBody,
  type Clock,
  type Exchange,
  GatewayError,
  type Target,
  type TargetGuard,
} from "../../core/plugin.ts";

export interface SignerSettings {
  readonly keyId: string;
  readonly algorithm: SignatureAlgorithm;
  readonly key: KeyObject;
  /** Those that a request has are signed. */
  readonly components: readonly NamedComponent[];
  /** Undefined without digests of bodies. */
  readonly digest: NamedComponent | undefined;
  readonly expiresMs: number | undefined;
  readonly nonce: boolean;
  readonly label: string;
  readonly tag: string | undefined;
  readonly clock: Clock;
}

/**
 * Signs one exchange, once for each target that is asked: only then it is known what the target will see. It is a guard
 * because guards hear of targets, and it refuses them all when the request cannot be signed.
 */
export class Signing implements TargetGuard {
  readonly #settings: SignerSettings;
  #failure: GatewayError | undefined;

  constructor(settings: SignerSettings) {
    this.#settings = settings;
    this.#failure = undefined;
  }

  admit(target: Target, x: Exchange): boolean {
    const { digest, components, label, algorithm, key } = this.#settings;
    if (digest !== undefined && x.body !== null) {
      if (!(x.body instanceof BytesBody))
        return this.#fail("a stage below `sign` has put a stream in place of the body");
      x.headers.setChecked(digest.name, contentDigest(x.body.bytes));
    }
    const request = outgoingRequest(x, target);
    const present = components.filter(({ item, name }) =>
      name.startsWith("@") ? readComponent(item, request) !== undefined : request.headers.has(name),
    );
    if (digest !== undefined && x.body !== null) present.push(digest);
    const input: InnerList = [present.map(({ item }) => item), this.#parameters()];
    const base = signatureBase(input, request);
    if (base === undefined) return this.#fail("a header has bytes or a form that a signature cannot cover");
    addSignature(x.headers, { label, input, bytes: signBase(algorithm, key, base) });
    return true;
  }

  refusal(): GatewayError | undefined {
    return this.#failure;
  }

  #parameters(): InnerList[1] {
    const { clock, expiresMs, nonce, keyId, algorithm, tag } = this.#settings;
    const now = clock.now();
    const parameters: InnerList[1] = new Map([["created", Math.floor(now / 1000)]]);
    if (expiresMs !== undefined) parameters.set("expires", Math.floor((now + expiresMs) / 1000));
    if (nonce) parameters.set("nonce", randomUUID());
    parameters.set("alg", algorithm).set("keyid", keyId);
    if (tag !== undefined) parameters.set("tag", tag);
    return parameters;
  }

  #fail(why: string): false {
    this.#failure = new GatewayError("STAGE_FAILED", {
      cause: new Error(`the request cannot be signed: ${why}`),
    });
    return false;
  }
}
