/** JSON Web Tokens (RFC 7519): signed by an issuer that is trusted, for an audience that is this gateway's. */
import { hash } from "node:crypto";
import { ConfigError, type Host } from "../../core/plugin.ts";
import { createReader, readBearer } from "./credential.ts";
import { createIssuer, type Issuer } from "./jwt/issuer.ts";
import { loadJose } from "../../core/jwt/keys.ts";
import type { JwtOptions } from "./jwt/options.ts";
import { type Verdict, Verifier } from "./jwt/verifier.ts";
import type { Finding, Method } from "./method.ts";
import { asConfigured } from "../../core/naming.ts";

/** @throws ConfigError at `pointer` */
export async function createJwt(options: JwtOptions, pointer: string, host: Host): Promise<Method> {
  const { issuers: wanted, ...where } = options;
  const { consumers } = host;
  const { read, places } = createReader(where, "authorization", readBearer, pointer);
  checkNames(options, pointer);
  const tokenKeys = await loadJose();
  const issuers: Issuer[] = [];
  for (const [i, each] of wanted.entries()) {
    issuers.push(await createIssuer(each, `${pointer}/issuers/${i}`, tokenKeys, host));
  }
  const digest = hash("sha256", JSON.stringify(wanted)); // there are secrets in it
  const verifier = host.keep(`auth tokens ${digest}`, () => new Verifier(issuers, tokenKeys, host.clock));

  const findingOf = (verdict: Verdict): Finding => {
    if (typeof verdict === "string") return verdict;
    const { consumer, issuer } = verdict;
    return issuer.options.knownConsumers ? (asConfigured(consumer, consumers) ?? "invalid") : consumer;
  };
  return {
    name: "jwt",
    challenge: 'Bearer realm="sluice"',
    rejection: 'Bearer realm="sluice", error="invalid_token"', // and nothing of why (RFC 6750 section 3)
    places,
    identify(x) {
      const token = read(x);
      if (token === undefined) return "absent";
      const verdict = verifier.verify(token);
      return verdict instanceof Promise ? verdict.then(findingOf) : findingOf(verdict);
    },
  };
}

/** Two issuers must not name the same consumer unless somebody says so. */
function checkNames({ issuers }: JwtOptions, pointer: string): void {
  for (const [i, { issuer, prefix }] of issuers.entries()) {
    const at = `${pointer}/issuers/${i}`;
    if (issuers.findIndex((each) => each.issuer === issuer) !== i) {
      throw new ConfigError("This issuer is there already", `${at}/issuer`, "CONFIG_DUPLICATE_NAME");
    }
    if (issuers.length > 1 && prefix === undefined) {
      const why =
        'Issuers may use the same names: each needs a `prefix` ("" where they mean the same consumers)';
      throw new ConfigError(why, at, "CONFIG_VALUE");
    }
  }
}
