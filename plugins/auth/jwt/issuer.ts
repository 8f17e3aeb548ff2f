/** Who makes tokens: its keys, and what its tokens must say. */
import { ConfigError, type Host } from "../../../core/plugin.ts";
import { parseRemoteUrl } from "../../../core/remote-url.ts";
import { parseDuration } from "../../../core/units.ts";
import { fetchDocument } from "../../../core/jwt/fetch-document.ts";
import type { KeySource } from "../../../core/jwt/key-source.ts";
import type { Expected, KeySet, TokenKeys } from "../../../core/jwt/keys.ts";
import type { IssuerOptions } from "./options.ts";
import { RemoteKeys } from "../../../core/jwt/remote-keys.ts";

export interface Issuer {
  readonly options: IssuerOptions;
  readonly algorithms: readonly string[];
  readonly keys: KeySource;
  readonly expected: Expected & object;
  readonly skewMs: number;
  readonly maxAgeMs: number;
}

/** @throws ConfigError at `pointer` */
export async function createIssuer(
  options: IssuerOptions,
  pointer: string,
  tokenKeys: TokenKeys,
  host: Host,
): Promise<Issuer> {
  check(options, pointer);
  const { issuer, audience, algorithms, requiredClaims, typ, maxAge, clockSkew } = options;
  const skewMs = parseDuration(clockSkew);
  const maxAgeMs = maxAge === undefined ? Number.POSITIVE_INFINITY : parseDuration(maxAge);
  const keys =
    options.jwksUri === undefined
      ? new GivenKeys(await tokenKeys.ofOptions(options, pointer))
      : openRemoteKeys(options, options.jwksUri, pointer, tokenKeys, host);
  return {
    options,
    algorithms,
    keys,
    skewMs,
    maxAgeMs,
    expected: {
      issuer,
      algorithms: [...algorithms],
      requiredClaims: [...requiredClaims],
      clockTolerance: skewMs / 1000,
      ...(audience === undefined ? {} : { audience: [audience].flat() }),
      ...(typ === undefined ? {} : { typ }),
      ...(maxAge === undefined ? {} : { maxTokenAge: maxAgeMs / 1000 }),
    },
  };
}

class GivenKeys implements KeySource {
  readonly isFailing = false;
  readonly #keys: KeySet;

  constructor(keys: KeySet) {
    this.#keys = keys;
  }

  current(): KeySet {
    return this.#keys;
  }

  async renew(): Promise<boolean> {
    return true;
  }
}

function openRemoteKeys(
  { refresh, cooldown, staleFor, allowHttp }: IssuerOptions,
  uri: string,
  pointer: string,
  tokenKeys: TokenKeys,
  host: Host,
): RemoteKeys<KeySet> {
  const url = parseRemoteUrl(uri, allowHttp, "make tokens", `${pointer}/jwksUri`);
  const keys = host.keep(
    `auth keys ${uri} ${refresh} ${cooldown} ${staleFor}`,
    () =>
      new RemoteKeys(
        {
          url,
          refreshMs: parseDuration(refresh),
          cooldownMs: parseDuration(cooldown),
          staleMs: parseDuration(staleFor),
          fetch: fetchDocument,
          parse: (text) => tokenKeys.parseSet(text),
        },
        host,
      ),
  );
  keys.current(); // begins to fetch them
  return keys;
}

const KEYS = ["secret", "publicKey", "jwks", "jwksUri"] as const;

function check(options: IssuerOptions, pointer: string): void {
  const refuse = (key: string, why: string): ConfigError =>
    new ConfigError(why, key === "" ? pointer : `${pointer}/${key}`, "CONFIG_VALUE");
  const { audience, anyAudience, algorithms, secret, refresh, staleFor } = options;
  if ((audience === undefined) !== anyAudience) {
    throw refuse("", "An issuer needs `audience`, or `anyAudience: true` instead of it");
  }
  if (KEYS.filter((key) => options[key] !== undefined).length !== 1) {
    throw refuse("", `An issuer needs one of ${KEYS.map((key) => `\`${key}\``).join(", ")}`);
  }
  const wrong = algorithms.findIndex((alg) => alg.startsWith("HS") !== (secret !== undefined));
  if (wrong !== -1) {
    const why = secret === undefined ? "needs `secret`" : "needs a public key, not `secret`";
    throw refuse(`algorithms/${wrong}`, `${algorithms[wrong]} ${why}`);
  }
  if (parseDuration(staleFor) < parseDuration(refresh)) {
    throw refuse("staleFor", "`staleFor` cannot be less than `refresh`");
  }
}
