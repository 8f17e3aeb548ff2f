/**
 * Signs requests to the upstream: HTTP Message Signatures (RFC 9421), with a digest of the body (RFC 9530).
 *
 * Stands anywhere above what sends, and always calls next. Each request to a target is signed as it leaves, as the
 * target will see it: stages below may still change it, and each attempt of `retry` gets a signature of its own,
 * wherever that stands. The client sees nothing of it. With `contentDigest` the body is held in memory; a larger one
 * than `maxBody` gets 413. A request with a header to be signed that cannot be fails with 500 STAGE_FAILED and is not
 * sent. Nothing it depends on can fail.
 */
import type { KeyObject } from "node:crypto";
import {
  KEY_PAIR_ALGORITHMS,
  readPrivateKey,
  readSecret,
  type SignatureAlgorithm,
} from "../core/http-signatures/algorithms.ts";
import { type NamedComponent, parseComponent } from "../core/http-signatures/components.ts";
import { removeSignature } from "../core/http-signatures/signature-fields.ts";
import { isFraming, isHopByHop } from "../core/headers.ts";
import { OptionBounds } from "../core/option-bounds.ts";
import { ConfigError, type FromSchema, type JsonSchema, type Plugin, type Problem } from "../core/plugin.ts";
import { addGuard, removeGuard } from "../core/target-guards.ts";
import { anyDuration, parseSize, size } from "../core/units.ts";
import { type SignerSettings, Signing } from "./sign/signer.ts";

const schema = {
  type: "object",
  description: "Signs requests to the upstream.",
  properties: {
    keyId: {
      type: "string",
      pattern: "^[\\x21-\\x7e]+$",
      "x-expected": "a key id without blanks",
      description: "What the upstream knows the key by.",
    },
    hmacSecret: {
      type: "string",
      writeOnly: true,
      description:
        "A secret that the upstream has too, for `hmac-sha256`: at least 32 bytes in base64 (`openssl rand -base64 32`).",
    },
    privateKey: {
      type: "string",
      writeOnly: true,
      description: "Instead of a secret: a private key in PEM (PKCS #8), best as `${file:…}`.",
    },
    algorithm: {
      type: "string",
      enum: KEY_PAIR_ALGORITHMS,
      description: "What a private key signs by.",
    },
    components: {
      type: "array",
      items: { type: "string", minLength: 1 },
      minItems: 1,
      uniqueItems: true,
      default: ["@method", "@target-uri"],
      description: "What is signed, as far as the request has it.",
    },
    contentDigest: {
      type: "boolean",
      default: true,
      description: "Give requests with a body its digest, in Content-Digest, and sign it.",
    },
    maxBody: size("1MB", "Largest body whose digest is made: it is held in memory for that."),
    expires: anyDuration("How long signatures are valid, for upstreams that go by what they say themselves."),
    nonce: {
      type: "boolean",
      default: true,
      description: "Put a number into each signature that is used once, for upstreams that ask for it.",
    },
    label: {
      type: "string",
      pattern: "^[a-z*][a-z0-9_.*-]*$",
      "x-expected": "a label such as sig1",
      default: "sig1",
      description:
        "What tells the signature from others of the request; one that has it already is replaced.",
    },
    tag: {
      type: "string",
      pattern: "^[\\x20-\\x7e]+$",
      "x-expected": "a text in ASCII",
      description: "What the signature is for, where the upstream wants to know.",
    },
  },
  required: ["keyId"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const sign: Plugin<Options> = {
  name: "sign",
  schema,
  build(options, { clock }) {
    const settings: SignerSettings = {
      ...compileKey(options),
      keyId: options.keyId,
      components: compileComponents(options),
      digest: options.contentDigest ? parseComponent("content-digest", "") : undefined,
      expiresMs: compileExpires(options),
      nonce: options.nonce,
      label: options.label,
      tag: options.tag,
      clock,
    };
    const maxBodyBytes = parseSize(options.maxBody);
    return (next) => async (x) => {
      if (settings.digest !== undefined && x.body !== null) await x.bufferBody(maxBodyBytes);
      const signing = new Signing(settings);
      addGuard(x, signing);
      try {
        return await next(x);
      } finally {
        // A stage above may go on elsewhere, where nothing is signed.
        removeGuard(x, signing);
        removeSignature(x.headers, settings.label);
      }
    };
  },
};

function compileKey(options: Options): { algorithm: SignatureAlgorithm; key: KeyObject } {
  const { hmacSecret, privateKey, algorithm } = options;
  if ((hmacSecret === undefined) === (privateKey === undefined)) {
    throw new ConfigError("Give either `hmacSecret` or `privateKey`", "", "CONFIG_VALUE");
  }
  if ((privateKey === undefined) !== (algorithm === undefined)) {
    throw new ConfigError("`privateKey` and `algorithm` go together", "", "CONFIG_VALUE");
  }
  try {
    if (hmacSecret !== undefined) return { algorithm: "hmac-sha256", key: readSecret(hmacSecret) };
    return { algorithm: algorithm!, key: readPrivateKey(algorithm!, privateKey!) };
  } catch (error) {
    const pointer = hmacSecret === undefined ? "/privateKey" : "/hmacSecret";
    throw new ConfigError((error as Error).message, pointer, "CONFIG_VALUE");
  }
}

/** Fields that the gateway writes itself on the way to the target. */
const WRITTEN_LAST =
  /^(?:host|via|expect|forwarded|x-forwarded-(?:for|host|port|proto)|signature(?:-input)?)$/;

function compileComponents(options: Options): NamedComponent[] {
  const components: NamedComponent[] = [];
  for (const [i, option] of options.components.entries()) {
    const component = parseComponent(option, `/components/${i}`);
    const { name } = component;
    if (isHopByHop(name) || isFraming(name) || WRITTEN_LAST.test(name)) {
      const message = `${name} is not known when the request is signed${name === "host" ? ": use @authority" : ""}`;
      throw new ConfigError(message, `/components/${i}`, "CONFIG_VALUE");
    }
    // The digest of the body is signed anyway, where there is one.
    if (!options.contentDigest || component.text !== '"content-digest"') components.push(component);
  }
  return components;
}

function compileExpires(options: Options): number | undefined {
  if (options.expires === undefined) return undefined;
  const problems: Problem[] = [];
  const expiresMs = new OptionBounds(options, "", problems).duration("expires", "1s", "30d");
  if (problems.length > 0) throw new ConfigError(problems);
  return expiresMs;
}
