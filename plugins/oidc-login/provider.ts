/** The OpenID Provider: what is asked of it, and what its answers must be (OpenID Connect Core 1.0 section 3.1). */
import type { Answer } from "../../core/ask.ts";
import type { Asker } from "../../core/asker.ts";
import { parseObject } from "../../core/json-object.ts";
import { fetchDocument } from "../../core/jwt/fetch-document.ts";
import { judgeByKeys } from "../../core/jwt/key-source.ts";
import type { KeySet, TokenKeys } from "../../core/jwt/keys.ts";
import { RemoteKeys } from "../../core/jwt/remote-keys.ts";
import { type IssuerMetadata, OAuthDiscovery } from "../../core/oauth-discovery.ts";
import { OAuthClient, parseIssuer } from "../../core/oauth-server.ts";
import type { Clock, Host } from "../../core/plugin.ts";
import { parseDuration } from "../../core/units.ts";
import type { Options } from "./options.ts";

/** Life of an access token whose provider does not say how long it is. */
const UNKNOWN_LIFE_MS = 300_000;
const MOST_LIFE_MS = 366 * 86_400_000;
const KEYS = { refreshMs: 600_000, cooldownMs: 5000, staleMs: 86_400_000 };
const IS_TOKEN = /^[\x21-\x7e]+$/;

export type Claims = Readonly<Record<string, unknown>>;

/** Where what is asked. */
export interface Metadata {
  readonly authorization: URL;
  readonly token: URL;
  readonly keys: URL;
  readonly endSession: URL | undefined;
  /** Answers in the browser say whose they are (RFC 9207). */
  readonly saysIssuer: boolean;
}

const readMetadata = (metadata: IssuerMetadata): Metadata => ({
  authorization: metadata.url("authorization_endpoint"),
  token: metadata.url("token_endpoint"),
  keys: metadata.url("jwks_uri"),
  endSession: metadata.optionalUrl("end_session_endpoint"),
  saysIssuer: metadata.isTrue("authorization_response_iss_parameter_supported"),
});

/** What the provider gives for a code or a refresh token. */
export interface Grant {
  readonly accessToken: string;
  readonly lifeMs: number;
  readonly idToken: string | undefined;
  readonly refreshToken: string | undefined;
}

export class Provider {
  readonly #options: Options;
  readonly #tokenKeys: TokenKeys;
  readonly #asker: Asker;
  readonly #clock: Clock;
  readonly #client: OAuthClient;
  readonly #discovery: OAuthDiscovery<Metadata>;
  readonly #keys: RemoteKeys<KeySet>;

  /** @throws ConfigError */
  constructor(options: Options, tokenKeys: TokenKeys, asker: Asker, host: Host) {
    const { issuer, allowHttp } = options;
    const url = parseIssuer(issuer, allowHttp, "log in as anybody", "/issuer");
    const timeoutMs = parseDuration(options.timeout);
    this.#options = options;
    this.#tokenKeys = tokenKeys;
    this.#asker = asker;
    this.#clock = host.clock;
    this.#client = new OAuthClient(options, timeoutMs, asker);
    const { clock } = host;
    this.#discovery = new OAuthDiscovery({ issuer, read: readMetadata, allowHttp, timeoutMs, asker, clock });
    const fetch = async (_: URL, signal: AbortSignal): Promise<string> =>
      fetchDocument((await this.find()).keys, signal);
    const parse = (text: string): KeySet => tokenKeys.parseSet(text);
    this.#keys = new RemoteKeys({ url, ...KEYS, fetch, parse }, host);
  }

  /** Begins to fetch what must be known. */
  prepare(): void {
    this.#keys.current();
  }

  /** @throws AskError when it cannot be found out now */
  find(): Promise<Metadata> {
    return this.#discovery.find();
  }

  /**
   * Gives a code or a refresh token for tokens.
   * @returns undefined when the provider does not take it (any more)
   * @throws AskError
   */
  async redeem(form: Readonly<Record<string, string>>): Promise<Grant | undefined> {
    const { token } = await this.find();
    return this.#client.post(token, form, readGrant);
  }

  /** The claims of an ID token, if it is one of the provider's for this gateway. */
  async verify(idToken: string): Promise<Claims | "invalid" | "unavailable"> {
    const { issuer, clientId, algorithms, clockSkew } = this.#options;
    const expected = {
      issuer,
      audience: clientId,
      algorithms: [...algorithms],
      requiredClaims: ["sub", "exp", "iat"],
      clockTolerance: parseDuration(clockSkew) / 1000,
      currentDate: new Date(this.#clock.now()),
    };
    return judgeByKeys<Claims | "invalid">(this.#keys, async (keys) => {
      const claims = await this.#tokenKeys.verify(idToken, keys, expected);
      if (claims === "no key") return claims;
      return typeof claims === "string" || !isForUs(claims, clientId) ? "invalid" : claims;
    });
  }

  close(): void {
    this.#asker.close();
    this.#keys.close();
  }
}

/** OpenID Connect Core 1.0 section 3.1.3.7: who asked for a token that is for several. */
function isForUs({ aud, azp }: Claims, clientId: string): boolean {
  if (azp !== undefined) return azp === clientId;
  return !Array.isArray(aud) || aud.length === 1;
}

function readGrant({ status, body }: Answer): Grant | undefined {
  if (status !== 200) {
    const code = /"error"\s*:\s*"([a-z_]{1,40})"/.exec(body)?.[1];
    if (status === 400 && code === "invalid_grant") return undefined;
    throw new Error(`the answer has status ${status}${code === undefined ? "" : `: ${code}`}`);
  }
  const answer = parseObject(body);
  const { access_token: accessToken, token_type: type, expires_in: life } = answer;
  if (typeof type !== "string" || type.toLowerCase() !== "bearer") throw new Error("it gave no Bearer token");
  if (typeof accessToken !== "string" || !IS_TOKEN.test(accessToken)) {
    throw new Error("it gave a token that cannot be one");
  }
  const lifeMs = life === undefined ? UNKNOWN_LIFE_MS : Math.min(Number(life) * 1000, MOST_LIFE_MS);
  if (!(lifeMs > 0)) throw new Error("it gave a token without a life");
  const text = (name: string): string | undefined => {
    const value = answer[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  return { accessToken, lifeMs, idToken: text("id_token"), refreshToken: text("refresh_token") };
}
