/**
 * Has users log in at an OpenID Provider with their browser, by authorization code and PKCE, and keeps them logged in
 * with a sealed cookie. Nothing is kept in the gateway; with `store`, renewed sessions are for a minute in the store.
 *
 * Stands where `auth` would; calls next for requests with a session, with `x.consumer` set from the ID token. Browsers
 * that open a page without one are sent to the provider, and back to that page; other requests see 401
 * UNAUTHENTICATED. Logins that go wrong see 400 LOGIN_FAILED, those the provider refuses 403 LOGIN_DENIED. Answers
 * `callbackPath` and `logoutPath` itself; its cookies never reach the upstream.
 * With a refresh token, sessions are renewed before the access token ends, and end when the provider says no. While it
 * cannot be asked, sessions whose access token has not ended go on; everything else sees 503 AUTH_UNAVAILABLE.
 * `onError: skip` is refused.
 */
import { hash } from "node:crypto";
import { Asker } from "../core/asker.ts";
import { loadJose } from "../core/jwt/keys.ts";
import { ConfigError, type Plugin, sharedStore } from "../core/plugin.ts";
import { parseDuration } from "../core/units.ts";
import { Counts, Gate } from "./oidc-login/gate.ts";
import { Jar } from "./oidc-login/jar.ts";
import { Logins } from "./oidc-login/logins.ts";
import { type Options, schema } from "./oidc-login/options.ts";
import { compileOrigin } from "./oidc-login/place.ts";
import { Provider } from "./oidc-login/provider.ts";
import { Refresher } from "./oidc-login/refresher.ts";
import { Seal } from "./oidc-login/seal.ts";
import { SharedRenewals } from "./oidc-login/shared-renewals.ts";
import { Sessions } from "./oidc-login/sessions.ts";

const METRIC = {
  name: "sluice_oidc_login_questions_total",
  help: "Questions to OpenID Providers, by outcome: `ok` or `failed`.",
};

const FIXED = ["response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "response_mode"];

export const oidcLogin: Plugin<Options> = {
  name: "oidc-login",
  schema,
  guard: true,
  identifies: true,
  findsListedOnly: ({ knownConsumers }) => knownConsumers,
  async build(options, host) {
    check(options);
    const tokenKeys = await loadJose();
    const { issuer, clientId } = options;
    const digest = hash("sha256", JSON.stringify(options)); // there are secrets in it
    const seal = new Seal([options.secret].flat(), JSON.stringify(["oidc-login", issuer, clientId]));
    const waitMs = 2 * parseDuration(options.timeout);
    const { log } = host;
    const store = options.store === undefined ? undefined : sharedStore(options.store, host);
    const gateways = store && new SharedRenewals({ store, seal, log, waitMs });
    const { provider, refresher, sessions } = host.keep(`oidc-login ${digest}`, () => {
      const asker = new Asker("the OpenID Provider", METRIC, host);
      const opened = new Provider(options, tokenKeys, asker, host);
      const { clock, shared } = host;
      const topic = `oidc-login ${digest}`;
      const renewing = new Refresher({ provider: opened, clock, shared, topic, waitMs });
      return {
        provider: opened,
        refresher: renewing,
        sessions: new Sessions(seal, options),
        close: () => {
          renewing.close();
          opened.close();
        },
      };
    });
    provider.prepare();
    const jar = new Jar(options.cookie);
    const originOf = compileOrigin(options.publicUrl);
    const counts = host.keep(`oidc-login counts ${host.route} ${host.stage}`, () => new Counts());
    host.metrics.collect(
      "sluice_oidc_login_events_total",
      "Requests that `passed`, were `refused` or `sent` to the provider; logins (`loggedIn`, `failed`), sessions that were `renewed`, `ended` or `loggedOut`.",
      "counter",
      () =>
        Object.entries(counts).map(
          ([event, count]) => [{ route: host.route, stage: host.stage, event }, count] as const,
        ),
    );
    const now = (): number => host.clock.now();
    const logins = new Logins({ options, provider, seal, sessions, jar, originOf, now });
    return (next) => {
      const gate = new Gate(
        { options, host, counts, jar, sessions, originOf, logins, refresher, gateways },
        next,
      );
      return (x) => gate.handle(x);
    };
  },
};

/** @throws ConfigError */
function check({ callbackPath, logoutPath, parameters, idleTimeout, lifetime }: Options): void {
  if (callbackPath === logoutPath) {
    throw new ConfigError("This is `callbackPath` already", "/logoutPath", "CONFIG_VALUE");
  }
  if (parseDuration(idleTimeout) > parseDuration(lifetime)) {
    throw new ConfigError("`idleTimeout` cannot be more than `lifetime`", "/idleTimeout", "CONFIG_VALUE");
  }
  for (const name of Object.keys(parameters)) {
    if (!FIXED.includes(name) && !name.startsWith("code_challenge")) continue;
    throw new ConfigError(`${name} is given by the gateway`, `/parameters/${name}`, "CONFIG_VALUE");
  }
}
