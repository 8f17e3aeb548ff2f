/** Tokens that only their authorization server can read: it is asked about them (RFC 7662). */
import { hash } from "node:crypto";
import type { Answer } from "../../core/ask.ts";
import { Asker } from "../../core/asker.ts";
import { parseObject } from "../../core/json-object.ts";
import { OAuthServer } from "../../core/oauth-server.ts";
import type { Host } from "../../core/plugin.ts";
import { parseDuration } from "../../core/units.ts";
import { Answers, type Judgement } from "./answers.ts";
import { createReader, readBearer } from "./credential.ts";
import type { IntrospectionOptions } from "./introspection/options.ts";
import type { Finding, Method } from "./method.ts";
import { asConfigured, readConsumer } from "../../core/naming.ts";

/** Longer ones are not asked about. */
const MOST_CHARS = 16 * 1024;
/** What a token may be written in (RFC 6750 section 2.1). */
const IS_TOKEN = /^[\w.~+/-]+=*$/;

const METRIC = {
  name: "sluice_auth_introspections_total",
  help: "Questions about tokens to their servers, by outcome: `ok` (an answer, whatever it says) or `failed`.",
};

/** @throws ConfigError at `pointer` */
export function createIntrospection(options: IntrospectionOptions, pointer: string, host: Host): Method {
  const { read, places } = createReader(options, "authorization", readBearer, pointer);
  const { consumers, clock } = host;
  const digest = hash("sha256", JSON.stringify(options)); // there is a secret in it
  const answers = host.keep(`auth introspection ${digest}`, () => {
    const asker = new Asker("the server that auth asks about tokens", METRIC, host);
    const url = { key: "endpoint", value: options.endpoint };
    const timeoutMs = parseDuration(options.timeout);
    const member = "introspection_endpoint";
    const server = new OAuthServer({ options, url, member, timeoutMs, asker, clock }, pointer);
    return new TokenAnswers(options, server, asker, host);
  });
  const findingOf = (finding: Finding): Finding => {
    if (typeof finding === "string" || !options.knownConsumers) return finding;
    return asConfigured(finding, consumers) ?? "invalid";
  };
  return {
    name: "introspection",
    challenge: 'Bearer realm="sluice"',
    rejection: 'Bearer realm="sluice", error="invalid_token"',
    places,
    identify(x) {
      const token = read(x);
      if (token === undefined) return "absent";
      if (token.length > MOST_CHARS || !IS_TOKEN.test(token)) return "invalid";
      const finding = answers.find(hash("sha256", token, "base64url"), token);
      return finding instanceof Promise ? finding.then(findingOf) : findingOf(finding);
    },
  };
}

const INVALID: Judgement = { finding: "invalid", bytes: 0 };

class TokenAnswers extends Answers<string> {
  readonly #options: IntrospectionOptions;
  readonly #audience: readonly string[] | undefined;
  readonly #skewMs: number;
  readonly #server: OAuthServer;

  constructor(options: IntrospectionOptions, server: OAuthServer, asker: Asker, { clock }: Host) {
    super(asker, parseDuration(options.cacheFor), clock);
    this.#options = options;
    this.#audience = options.audience === undefined ? undefined : [options.audience].flat();
    this.#skewMs = parseDuration(options.clockSkew);
    this.#server = server;
    server.prepare();
  }

  protected question(token: string, digest: string): Promise<Judgement> {
    const form = { token, token_type_hint: "access_token" };
    return this.#server.post(form, (answer) => this.#judge(answer, digest));
  }

  #judge({ status, body }: Answer, digest: string): Judgement {
    if (status !== 200) throw new Error(`the answer has status ${status}`);
    const { active, ...claims } = parseObject(body);
    if (typeof active !== "boolean") throw new Error("the answer does not say whether the token is active");
    if (!active || !this.#isForHereAndNow(claims)) return INVALID;
    const consumer = readConsumer(claims, this.#options, digest);
    if (consumer === undefined) return INVALID;
    const { exp } = claims;
    const bytes = 2 * body.length + 500;
    return typeof exp === "number"
      ? { finding: consumer, bytes, endsAt: exp * 1000 }
      : { finding: consumer, bytes };
  }

  #isForHereAndNow({ exp, nbf, iss, aud, token_type: type, cnf }: Claims): boolean {
    const now = this.clock.now();
    const { issuer } = this.#options;
    // A refresh token is active as well. One that is bound to a key (RFC 8705, RFC 9449) is no bearer's.
    if (type !== undefined && String(type).toLowerCase() !== "bearer") return false;
    if (cnf !== undefined) return false;
    if (exp !== undefined && !(typeof exp === "number" && now < exp * 1000 + this.#skewMs)) return false;
    if (nbf !== undefined && !(typeof nbf === "number" && now >= nbf * 1000 - this.#skewMs)) return false;
    if (issuer !== undefined && iss !== undefined && iss !== issuer) return false;
    const audience = this.#audience;
    return audience === undefined || [aud].flat().some((each) => audience.includes(each as string));
  }
}

type Claims = Readonly<Record<string, unknown>>;
