/**
 * An OAuth 2.0 authorization server that the gateway asks as one of its clients (RFC 6749 section 2.3). Where to ask is
 * configured, or found by what the issuer publishes (OpenID Connect Discovery 1.0).
 */
import type { Answer } from "./ask.ts";
import type { Asker } from "./asker.ts";
import { ConfigError } from "./errors.ts";
import { OAuthDiscovery } from "./oauth-discovery.ts";
import type { Clock, FromSchema } from "./plugin.ts";
import { allowHttpOption, parseRemoteUrl } from "./remote-url.ts";

/** Longest answer. */
const MOST_BYTES = 256 * 1024;

const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

/** Options of whoever asks one. */
export const oauthServerOptions = {
  issuer: text("Who publishes where to ask; `https:`, or `http:` on this machine."),
  clientId: text("The name that the gateway has there."),
  clientSecret: { ...text("The secret that goes with it."), writeOnly: true },
  clientAuthentication: {
    type: "string",
    enum: ["client_secret_basic", "client_secret_post"],
    default: "client_secret_basic",
    description: "Where name and secret are sent: in `authorization`, or in the body.",
  },
  allowHttp: allowHttpOption("Let URLs be `http:` elsewhere: whoever is in between sees the secret."),
} as const;

type Options = FromSchema<{
  type: "object";
  properties: typeof oauthServerOptions;
  required: ["clientId", "clientSecret"];
}>;

export interface OAuthServerInit {
  readonly options: Options;
  /** The option that says where to ask, if the issuer does not. */
  readonly url: { readonly key: string; readonly value: string | undefined };
  /** What the issuer calls it. */
  readonly member: "introspection_endpoint" | "token_endpoint";
  readonly timeoutMs: number;
  readonly asker: Asker;
  readonly clock: Clock;
}

export class OAuthServer {
  readonly #client: OAuthClient;
  readonly #url: URL | undefined;
  readonly #discovery: OAuthDiscovery<URL> | undefined;

  /** @throws ConfigError at `pointer` */
  constructor(init: OAuthServerInit, pointer: string) {
    const { options, url, member, timeoutMs, asker, clock } = init;
    const { issuer, allowHttp } = options;
    const risk = "see the secret";
    this.#url =
      url.value === undefined
        ? undefined
        : parseRemoteUrl(url.value, allowHttp, risk, `${pointer}/${url.key}`);
    const base = issuer === undefined ? undefined : parseIssuer(issuer, allowHttp, risk, `${pointer}/issuer`);
    if (this.#url === undefined && base === undefined) {
      throw new ConfigError(`Needs \`${url.key}\`, or \`issuer\` to find it by`, pointer, "CONFIG_VALUE");
    }
    if (this.#url === undefined && issuer !== undefined) {
      this.#discovery = new OAuthDiscovery({
        issuer,
        read: (metadata) => metadata.url(member),
        allowHttp,
        timeoutMs,
        asker,
        clock,
      });
    }
    this.#client = new OAuthClient(options, timeoutMs, asker);
  }

  /** Finds out where to ask, before it must be known. */
  prepare(): void {
    this.#discovery?.find().catch(() => {}); // it is logged, and tried again
  }

  /**
   * @param read see {@link Asker.ask}
   * @throws AskError
   */
  async post<T>(form: Readonly<Record<string, string>>, read: (answer: Answer) => T): Promise<T> {
    const url = this.#url ?? (await this.#discovery!.find());
    return this.#client.post(url, form, read);
  }
}

/** The gateway, as a client that such a server knows. */
export class OAuthClient {
  readonly #headers: Readonly<Record<string, string>>;
  readonly #form: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #asker: Asker;

  constructor({ clientId, clientSecret, clientAuthentication }: Options, timeoutMs: number, asker: Asker) {
    const isBasic = clientAuthentication === "client_secret_basic";
    const credentials = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString("base64");
    this.#headers = {
      accept: "application/json",
      "content-type": "application/x-www-form-urlencoded",
      ...(isBasic ? { authorization: `Basic ${credentials}` } : {}),
    };
    this.#form = isBasic ? {} : { client_id: clientId, client_secret: clientSecret };
    this.#timeoutMs = timeoutMs;
    this.#asker = asker;
  }

  /**
   * @param read see {@link Asker.ask}
   * @throws AskError
   */
  async post<T>(url: URL, form: Readonly<Record<string, string>>, read: (answer: Answer) => T): Promise<T> {
    const body = new URLSearchParams({ ...form, ...this.#form }).toString();
    const timeoutMs = this.#timeoutMs;
    const question = {
      url,
      method: "POST",
      headers: this.#headers,
      body,
      timeoutMs,
      maxBytes: MOST_BYTES,
    } as const;
    return this.#asker.ask(question, read);
  }
}

/**
 * @param risk see {@link parseRemoteUrl}
 * @throws ConfigError at `pointer`
 */
export function parseIssuer(issuer: string, allowHttp: boolean, risk: string, pointer: string): URL {
  const url = parseRemoteUrl(issuer, allowHttp, risk, pointer);
  if (url.search !== "" || url.hash !== "") {
    throw new ConfigError("An issuer has no query and no fragment", pointer, "CONFIG_VALUE");
  }
  return url;
}

/** As RFC 6749 section 2.3.1 wants it, before it becomes base64. */
function encode(value: string): string {
  return new URLSearchParams([["", value]]).toString().slice(1);
}
