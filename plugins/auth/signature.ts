/** Requests that are signed by HTTP Message Signatures (RFC 9421), their bodies by Content-Digest (RFC 9530). */
import { hash } from "node:crypto";
import type { SignatureKey } from "../../core/consumers.ts";
import { verifyBase } from "../../core/http-signatures/algorithms.ts";
import { parseComponent, type SignedRequest } from "../../core/http-signatures/components.ts";
import { isDigestOf } from "../../core/http-signatures/content-digest.ts";
import { signatureBase } from "../../core/http-signatures/signature-base.ts";
import {
  readSignatures,
  removeSignature,
  type Signature,
} from "../../core/http-signatures/signature-fields.ts";
import { serializeItem } from "../../core/http-signatures/structured-fields.ts";
import { OptionBounds } from "../../core/option-bounds.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  type Host,
  type KeyValueStore,
  type Problem,
} from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { duration, parseSize, size } from "../../core/units.ts";
import type { Finding, Method } from "./method.ts";

const MOST_NONCE_CHARS = 256;
const DIGEST = '"content-digest"';

/** What says as much as a component that is required: all of one of these lists. */
const INSTEAD: ReadonlyMap<string, readonly (readonly string[])[]> = new Map([
  [
    '"@target-uri"',
    [
      ['"@authority"', '"@path"', '"@query"'],
      ['"@authority"', '"@request-target"'],
    ],
  ],
]);

export const signatureOptions = {
  type: "object",
  description: "A signature of the request, by a key that a consumer has.",
  properties: {
    required: {
      type: "array",
      items: { type: "string", minLength: 1 },
      minItems: 1,
      uniqueItems: true,
      default: ["@method", "@target-uri", "content-digest"],
      description:
        "Components that must be signed. `@authority` with `@path` and `@query`, or with `@request-target`, do for `@target-uri`; `content-digest` is asked of requests with a body.",
    },
    maxAge: duration("5m", "How long after it was made a signature is valid."),
    clockSkew: duration("30s", "How far the clocks of those who sign may be off."),
    requireNonce: {
      type: "boolean",
      default: false,
      description: "Each signature must have a nonce, and is let in once.",
    },
    store: {
      type: "string",
      minLength: 1,
      "x-reference": "store",
      description: "Store that nonces are kept in: `main` unless another is named.",
    },
    label: { type: "string", minLength: 1, description: "Look at the signature of this label only." },
    tag: { type: "string", minLength: 1, description: "Look at signatures with this tag only." },
    maxBody: size("1MB", "Largest body whose digest is checked: it is held in memory for that."),
    keep: {
      type: "boolean",
      default: false,
      description: "Leave the signature in the request: the upstream sees it then.",
    },
  },
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof signatureOptions>;

const DEFAULTS = Object.fromEntries(
  Object.entries(signatureOptions.properties).flatMap(([key, option]) =>
    "default" in option ? [[key, option.default]] : [],
  ),
) as unknown as Options;

/** @throws ConfigError at `pointer` */
export function createSignature(options: Options = DEFAULTS, pointer: string, host: Host): Method {
  return new Verifier(options, pointer, host);
}

class Verifier implements Method {
  readonly name = "signature";
  readonly challenge = "Signature";
  readonly rejection = "Signature";
  readonly #host: Host;
  readonly #required: readonly string[];
  readonly #maxAgeMs: number;
  readonly #skewMs: number;
  readonly #maxBodyBytes: number;
  readonly #label: string | undefined;
  readonly #tag: string | undefined;
  readonly #keep: boolean;
  readonly #nonces: KeyValueStore | undefined;

  constructor(options: Options, pointer: string, host: Host) {
    const problems: Problem[] = [];
    const bounds = new OptionBounds(options, pointer, problems);
    this.#maxAgeMs = bounds.duration("maxAge", "1s", "30d");
    this.#skewMs = bounds.duration("clockSkew", "0s", "1h");
    if (options.store !== undefined && !options.requireNonce) {
      const message = "`store` is for nonces: set `requireNonce`";
      problems.push({ code: "CONFIG_VALUE", message, pointer: `${pointer}/store` });
    }
    this.#required = options.required.map((each, i) => {
      const at = childPointer(`${pointer}/required`, i);
      const { name, text } = parseComponent(each, at);
      if (name === "content-digest" && text !== DIGEST) {
        const message = "A digest is signed whole, and only of requests with a body: `content-digest`";
        problems.push({ code: "CONFIG_VALUE", message, pointer: at });
      }
      return text;
    });
    if (problems.length > 0) throw new ConfigError(problems);
    this.#maxBodyBytes = parseSize(options.maxBody);
    this.#label = options.label;
    this.#tag = options.tag;
    this.#keep = options.keep;
    this.#nonces = options.requireNonce ? host.stores.get(options.store ?? "main")! : undefined;
    this.#host = host;
  }

  identify(x: Exchange): Finding | Promise<Finding> {
    const signatures = readSignatures(x.headers);
    if (signatures === undefined) return "invalid";
    const meant = signatures.filter(({ label, input }) => {
      return (this.#label ?? label) === label && (this.#tag ?? input[1].get("tag")) === input[1].get("tag");
    });
    if (meant.length === 0) return "absent";
    if (meant.length > 1) return "invalid"; // nobody could tell which counts
    return this.#check(x, meant[0]!);
  }

  #check(x: Exchange, signature: Signature): Finding | Promise<Finding> {
    const covered = signature.input[0].map((component) => serializeItem(component));
    const parameters = signature.input[1];
    const nonce = parameters.get("nonce");
    const now = this.#host.clock.now();
    const key = this.#keyOf(parameters, now);
    const endsAt = this.#endOf(parameters, now);
    const hasDigest = signature.input[0].some(([name]) => name === "content-digest");
    if (key === undefined || endsAt === undefined || !this.#covers(covered, x.body !== null))
      return "invalid";
    if (this.#nonces !== undefined && !isNonce(nonce)) return "invalid";

    const base = signatureBase(signature.input, asSent(x));
    if (base === undefined || !verifyBase(key.algorithm, key.key, base, signature.bytes)) return "invalid";
    if (!this.#keep) removeSignature(x.headers, signature.label);
    if (!hasDigest && this.#nonces === undefined) return key.consumer;
    return this.#finish(x, key, hasDigest, nonce as string, endsAt - now);
  }

  /** What takes time comes last, and only for those who have the key: reading the body, and asking the store. */
  async #finish(
    x: Exchange,
    { consumer }: SignatureKey,
    hasDigest: boolean,
    nonce: string,
    leftMs: number,
  ): Promise<Finding> {
    if (hasDigest) {
      const body = await x.bufferBody(this.#maxBodyBytes);
      if (!isDigestOf(x.headers.getJoined("content-digest")!, body)) return "invalid";
    }
    if (this.#nonces === undefined) return consumer;
    const id = hash("sha256", `${consumer.name}\n${consumer.credential}\n${nonce}`, "base64url");
    // A gateway whose clock is behind may take it for a little longer.
    const ttlMs = Math.ceil(leftMs + this.#skewMs) + 1;
    const isFirst = await this.#nonces.set(`auth nonce ${id}`, "1", { ifAbsent: true, ttlMs });
    return isFirst ? consumer : "invalid";
  }

  #keyOf(parameters: Signature["input"][1], now: number): SignatureKey | undefined {
    const keyId = parameters.get("keyid");
    const algorithm = parameters.get("alg");
    const key = typeof keyId === "string" ? this.#host.consumers.ofSignatureKey(keyId, now) : undefined;
    return algorithm === undefined || algorithm === key?.algorithm ? key : undefined;
  }

  /** Until when it is valid; undefined when it is not. */
  #endOf(parameters: Signature["input"][1], now: number): number | undefined {
    const created = parameters.get("created");
    const expires = parameters.get("expires") ?? Number.POSITIVE_INFINITY;
    if (!Number.isInteger(created) || typeof expires !== "number") return undefined;
    const createdMs = (created as number) * 1000;
    const end = Math.min(createdMs + this.#maxAgeMs, expires * 1000) + this.#skewMs;
    return createdMs - this.#skewMs <= now && now <= end ? end : undefined;
  }

  #covers(covered: readonly string[], hasBody: boolean): boolean {
    return this.#required.every(
      (each) =>
        covered.includes(each) ||
        (each === DIGEST && !hasBody) ||
        INSTEAD.get(each)?.some((list) => list.every((other) => covered.includes(other))),
    );
  }
}

function isNonce(nonce: unknown): nonce is string {
  return typeof nonce === "string" && nonce !== "" && nonce.length <= MOST_NONCE_CHARS;
}

/** The request as the client has sent it, whatever stages above have made of it. */
function asSent(x: Exchange): SignedRequest {
  return {
    method: x.originalMethod,
    scheme: x.scheme,
    authority: x.authority,
    path: x.originalPath,
    search: x.originalSearch,
    headers: x.headers,
  };
}
