/** A configuration with a secret of its own in every place that can hold one, and who says whether any of them is shown. */
import { generateKeyPairSync, scryptSync } from "node:crypto";
import { gatewaySchema } from "../../core/config/schema.ts";
import { scriptGrantsSchema } from "../../core/config/script-schema.ts";
import { resolveRef } from "../../core/config/walk-schema.ts";
import type { JsonSchema } from "../../core/plugin.ts";
import { catalogue } from "../../plugins/index.ts";
import { createAuthority } from "./certificates.ts";

/** Secrets that were planted. */
export class Planted {
  readonly #texts = new Map<string, string>();
  #made = 0;

  /** A new one: 40 characters of letters and digits. */
  make(what: string): string {
    const text = `planted${this.#made++}x${what.replaceAll(/[^a-zA-Z0-9]/g, "")}`
      .padEnd(40, "Q7z")
      .slice(0, 40);
    return this.add(what, text);
  }

  /** Takes note of a text that must not be shown either. */
  add(what: string, text: string): string {
    this.#texts.set(text, what);
    return text;
  }

  /** Takes note of a key in PEM: of its first whole line. */
  addPem(what: string, pem: string): string {
    this.add(what, pem.split("\n")[1]!);
    return pem;
  }

  /** What of them is in a text, as it is, or in a form that anybody can undo. */
  in(text: string): string[] {
    const found: string[] = [];
    for (const [secret, what] of this.#texts) {
      const bytes = Buffer.from(secret);
      const forms = [
        secret,
        bytes.toString("base64").replaceAll("=", ""),
        bytes.toString("base64url"),
        bytes.toString("hex"),
      ];
      if (forms.some((form) => text.includes(form))) found.push(what);
    }
    return found;
  }

  /** Whether a value is one, or has one in it. */
  isIn(value: string): boolean {
    return [...this.#texts.keys()].some((secret) => value.includes(secret));
  }
}

/** A place of a configuration: names of keys, `[]` for members of lists, the plugin's name first for options of stages. */
type Place = string;

/** Every place that a schema calls a secret; `*` stands for any key. */
export function secretPlaces(): Set<Place> {
  const places = new Set<Place>();
  const look = (part: unknown, place: Place, root: JsonSchema, within: readonly string[] = []): void => {
    if (typeof part !== "object" || part === null) return;
    const schema = part as JsonSchema;
    if (schema["writeOnly"] === true) return void places.add(place);
    const go = (each: unknown, at = place): void => look(each, at, root, within);
    const { $ref } = schema;
    // Conditions are made of conditions, and stages are looked at by themselves.
    if (typeof $ref === "string" && !within.includes($ref) && !$ref.endsWith("/stage")) {
      look(resolveRef($ref, root), place, root, [...within, $ref]);
    }
    for (const [key, each] of Object.entries(schema.properties ?? {})) go(each, `${place}.${key}`);
    go(schema["items"], `${place}[]`);
    go(schema["additionalProperties"], `${place}.*`);
    for (const keyword of ["anyOf", "oneOf", "allOf"]) {
      for (const each of (schema[keyword] as unknown[] | undefined) ?? []) go(each);
    }
  };
  look(gatewaySchema, "", gatewaySchema);
  for (const { name, schema } of catalogue.values()) look(schema, `(${name})`, schema);
  look(scriptGrantsSchema, "(script).grants", scriptGrantsSchema);
  return places;
}

/** The places of a configuration that have planted secrets in them, as {@link secretPlaces} writes them. */
export function plantedPlaces(config: object, planted: Planted): Map<Place, readonly (string | number)[]> {
  const places = new Map<Place, readonly (string | number)[]>();
  const look = (value: unknown, place: Place, path: readonly (string | number)[]): void => {
    if (typeof value === "string") {
      if (planted.isIn(value)) places.set(place, path);
    } else if (Array.isArray(value)) {
      for (const [i, each] of value.entries()) look(each, `${place}[]`, [...path, i]);
    } else if (typeof value === "object" && value !== null) {
      const { plugin } = value as { plugin?: string };
      const at = plugin === undefined ? place : `(${plugin})`;
      for (const [key, each] of Object.entries(value)) look(each, `${at}.${key}`, [...path, key]);
    }
  };
  look(config, "", []);
  return places;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const unpadded = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");

/** A private key in PEM. */
function pemOf(planted: Planted, what: string): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  return planted.addPem(what, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
}

/** What is outside of the gateway: URLs. */
export interface Outside {
  readonly upstream: string;
  readonly oauth: string;
  /** Host and port of a Redis server that wants another password. */
  readonly redis: string;
}

/** What clients may show, by place. */
export type Shown = Readonly<Record<"apiKey" | "scryptKey" | "password" | "listed" | "jwt", string>>;

/** The configuration. Servers that it names on port 1 are not there. */
export async function plantedConfig(planted: Planted, { upstream, oauth, redis }: Outside) {
  const make = (what: string): string => planted.make(what);
  const hashOf = (what: string, secret: string): string => {
    const salt = Buffer.alloc(16, what);
    const bytes = scryptSync(secret, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
    return `$scrypt$ln=14,r=8,p=1$${unpadded(salt)}$${planted.add(what, unpadded(bytes))}`;
  };
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const authority = await createAuthority();
  const client = await authority.issue(["client"]);
  const shown: Shown = {
    apiKey: make("apiKey"),
    scryptKey: make("key of scrypt"),
    password: make("password"),
    listed: make("password of htpasswd"),
    jwt: make("jwt secret"),
  };
  const hmac = planted.add("hmac", base64(make("hmac of a consumer")));
  const jwk = publicKey.export({ format: "jwk" });
  planted.add("jwks", jwk.x!);
  const target = { upstream: "api", strategy: "round-robin" };
  const issuer = (name: string, algorithm: string, more: object): object => ({
    issuer: `https://${name}.example`,
    prefix: `${name}:`,
    audience: "a",
    algorithms: [algorithm],
    ...more,
  });
  const route = (
    name: string,
    pipeline: object[],
    end: object = { plugin: "balance", ...target },
  ): object => ({
    name,
    match: { path: `/${name}` },
    pipeline: [...pipeline, end],
  });
  const config = {
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    admin: { address: "127.0.0.1:0", token: make("admin token") },
    threads: 1,
    log: { level: "debug" },
    stores: {
      redis: { type: "redis", url: `redis://user:${make("redis")}@${redis}` },
      cluster: { type: "redis-cluster", nodes: [redis], password: make("redis cluster") },
    },
    upstreams: {
      api: { targets: [upstream] },
      tls: {
        targets: ["https://127.0.0.1:1"],
        tls: { cert: client.cert, key: planted.addPem("client key", client.key) },
      },
      consul: { targets: { consul: { url: "http://127.0.0.1:1", service: "s", token: make("consul") } } },
      kubernetes: {
        targets: {
          kubernetes: { url: "http://127.0.0.1:1", service: "s", namespace: "n", token: make("kubernetes") },
        },
      },
    },
    consumers: [
      {
        name: "known",
        credentials: [
          { apiKey: shown.apiKey },
          {
            apiKeyPrefix: shown.scryptKey.slice(0, 6),
            apiKeyScrypt: hashOf("hash of a key", shown.scryptKey),
          },
          { username: "known", passwordHash: hashOf("hash of a password", shown.password) },
          { keyId: "hmac", hmacSecret: hmac },
        ],
      },
    ],
    routes: [
      route("key", [
        {
          plugin: "limit",
          by: { header: "x-api-key" },
          rate: "1000/1s",
          store: "redis",
          onStoreError: "local",
        },
        {
          plugin: "limit",
          name: "second",
          by: { query: "key" },
          rate: "1000/1s",
          store: "cluster",
          onStoreError: "local",
        },
        { plugin: "auth", methods: [{ apiKey: { header: "x-api-key", query: "key", cookie: "key" } }] },
      ]),
      route("basic", [
        {
          plugin: "auth",
          methods: [{ basic: { htpasswd: `listed:${hashOf("htpasswd", shown.listed)}\n` } }],
        },
      ]),
      route("signature", [{ plugin: "auth", methods: ["signature"] }]),
      route("jwt", [
        {
          plugin: "auth",
          methods: [
            {
              jwt: {
                issuers: [
                  issuer("secret", "HS256", { secret: shown.jwt }),
                  issuer("pem", "ES256", {
                    publicKey: planted.addPem(
                      "jwt public key",
                      publicKey.export({ type: "spki", format: "pem" }).toString(),
                    ),
                  }),
                  issuer("jwks", "ES256", { jwks: { keys: [jwk] } }),
                ],
              },
            },
          ],
        },
      ]),
      route("introspection", [
        {
          plugin: "auth",
          methods: [{ introspection: { issuer: oauth, clientId: "g", clientSecret: make("introspection") } }],
        },
      ]),
      route("forward", [
        { plugin: "auth", methods: [{ forward: { url: "http://127.0.0.1:1", headers: ["authorization"] } }] },
      ]),
      route("csrf", [{ plugin: "csrf", token: { secret: make("csrf"), session: "sid" } }]),
      route("client", [
        { plugin: "oauth2-client", issuer: oauth, clientId: "g", clientSecret: make("oauth2-client") },
        { plugin: "mirror", upstream: "tls" },
      ]),
      route("sign", [
        { plugin: "sign", keyId: "own", hmacSecret: planted.add("hmac", base64(make("hmac of sign"))) },
        {
          plugin: "sign",
          label: "second",
          keyId: "own",
          algorithm: "ed25519",
          privateKey: pemOf(planted, "private key of sign"),
        },
      ]),
      route("script", [
        {
          plugin: "script",
          grants: { secrets: { HOOK: make("secret of a script") } },
          source: `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req, ctx) { ctx.log.info("secret", { it: String(ctx.secrets.get("HOOK")), all: JSON.stringify(ctx.secrets) }); throw new Error(String(ctx.secrets.get("HOOK"))); },
});`,
        },
      ]),
      {
        ...route("login", [
          {
            plugin: "oidc-login",
            issuer: oauth,
            clientId: "g",
            clientSecret: make("oidc-login"),
            secret: [make("session"), make("older session")],
          },
        ]),
        match: { path: ["/login", "/oauth2/*"] },
      },
      {
        ...route("issuer", [], {
          plugin: "token-issuer",
          issuer: "https://issuer.example",
          audience: "a",
          key: pemOf(planted, "key of tokens"),
          previousKeys: [pemOf(planted, "older key of tokens")],
        }),
        match: { path: "/issuer/*" },
      },
      route("sticky", [], { plugin: "balance", ...target, sticky: { secret: make("sticky") } }),
      route("split", [], {
        plugin: "split",
        branches: [
          { ...target, weight: 1, sticky: { secret: [make("sticky of a branch"), make("older sticky")] } },
        ],
      }),
      route("tls", [], { plugin: "balance", upstream: "tls" }),
      route("consul", [], { plugin: "balance", upstream: "consul" }),
      route("kubernetes", [], { plugin: "balance", upstream: "kubernetes" }),
    ],
  };
  return { config, shown, hmac };
}
