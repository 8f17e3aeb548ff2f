/**
 * A real OpenID Provider: the package `oidc-provider` on a port of its own. Whoever comes to log in is `user`, at once
 * and without a form. Access tokens are opaque, or JWTs (RFC 9068) for the resource {@link RESOURCE}.
 */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Context, Provider } from "oidc-provider";
import { startUpstream } from "./upstream.ts";

/** Tokens for it are JWTs, with it as their audience. */
export const RESOURCE = "https://orders.example/";

export const CLIENT = { id: "gateway", secret: "planted-secret-of-the-gateway" } as const;

export interface OidcServer {
  readonly url: string;
  /** Who logs in; undefined for somebody who does not want to. */
  user: string | undefined;
  /** What it says that the user is called, to clients that ask for `profile`. */
  name: string;
  /** Slow servers do not answer at all; requests to broken ones end without an answer. */
  state: "up" | "slow" | "broken";
  /** Seconds that access tokens live. */
  accessTokenSeconds: number;
  /** Requests that came, as `POST /token`. */
  readonly asked: string[];
  /** How often something was asked. */
  count(question: string): number;
  /** Signs with another key from now on. The old one is published too, unless it is said to be lost. */
  rotate(isLost?: boolean): void;
  /** Asks for a token as the client `gateway`. */
  token(form: Record<string, string>): Promise<Record<string, string>>;
  /** Takes a token back (RFC 7009). */
  revoke(token: string): Promise<void>;
  /** Knows no token of a kind any more: `RefreshToken`. */
  forget(kind: string): void;
  close(): Promise<void>;
}

/** @param redirectUris where logins may end; `logoutUris` the same for logouts */
export async function startOidcServer(
  redirectUris: string[] = ["http://unused.example/callback"],
  logoutUris: string[] = [],
): Promise<OidcServer> {
  const all: Stored = new Map();
  const adapter = createAdapter(all);
  let keys = [makeKey()];
  const server = await startUpstream((request, response) => void listener(request, response));
  let provider: Provider;
  const open = (): void => {
    provider = new Provider(server.url, {
      adapter,
      clients: [
        {
          client_id: CLIENT.id,
          client_secret: CLIENT.secret,
          grant_types: ["authorization_code", "refresh_token", "client_credentials"],
          redirect_uris: redirectUris,
          post_logout_redirect_uris: logoutUris,
        },
      ],
      jwks: { keys },
      cookies: { keys: ["of tests"] },
      claims: { openid: ["sub"], profile: ["name", "roles"] },
      conformIdTokenClaims: false,
      scopes: ["openid", "offline_access", "profile", "orders"],
      pkce: { required: () => true },
      rotateRefreshToken: true,
      ttl: {
        AccessToken: () => fake.accessTokenSeconds,
        ClientCredentials: () => fake.accessTokenSeconds,
        AuthorizationCode: 60,
        Grant: 3600,
        IdToken: 3600,
        Interaction: 600,
        RefreshToken: 3600,
        Session: 3600,
      },
      interactions: { url: (_: Context, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_: Context, id: string) => ({
        accountId: id,
        claims: () => ({ sub: id, name: fake.name, roles: ["user"] }),
      }),
      loadExistingGrant,
      renderError: (context: Context, out: object) => {
        context.body = out;
      },
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true, allowedPolicy: () => true },
        revocation: { enabled: true, allowedPolicy: () => true },
        rpInitiatedLogout: {
          enabled: true,
          logoutSource: (context: Context, form: string) => {
            context.body = form;
          },
        },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => undefined,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: "orders",
            audience: RESOURCE,
            accessTokenFormat: "jwt",
            accessTokenTTL: fake.accessTokenSeconds,
          }),
        },
      },
    });
    provider.on("server_error", (_, error) => errors.push(error));
  };
  const errors: Error[] = [];
  const loadExistingGrant = async ({ oidc }: Context): Promise<object | undefined> => {
    const known = oidc.session.grantIdFor(oidc.client.clientId);
    if (known !== undefined) return provider.Grant.find(known);
    const grant = new provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
    grant.addOIDCScope("openid offline_access profile orders");
    grant.addResourceScope(RESOURCE, "orders");
    await grant.save();
    return grant;
  };
  const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url!, server.url);
    fake.asked.push(`${request.method} ${pathname}`);
    if (fake.state === "slow") return;
    if (fake.state === "broken") return void request.socket.destroy();
    if (!pathname.startsWith("/interaction/")) return provider.callback()(request, response);
    const { user } = fake;
    const result =
      user === undefined ? { error: "access_denied" } : { login: { accountId: user }, consent: {} };
    return provider.interactionFinished(request, response, result);
  };
  const authorization = `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}`;
  const post = (path: string, form: Record<string, string>): Promise<Response> =>
    fetch(server.url + path, {
      method: "POST",
      headers: { authorization },
      body: new URLSearchParams(form),
    });
  const fake: OidcServer = {
    url: server.url,
    user: "alice",
    name: "a user",
    state: "up",
    accessTokenSeconds: 600,
    asked: [],
    count: (question) => fake.asked.filter((each) => each === question).length,
    rotate(isLost = false) {
      keys = [makeKey(), ...(isLost ? [] : keys)];
      open();
    },
    token: async (form) => (await (await post("/token", form)).json()) as Record<string, string>,
    revoke: async (token) => void (await (await post("/token/revocation", { token })).arrayBuffer()),
    forget(kind) {
      for (const key of all.keys()) if (key.startsWith(`${kind} `)) all.delete(key);
    },
    async close() {
      await server.close();
      if (errors.length > 0) throw new AggregateError(errors, "the provider failed");
    },
  };
  open();
  return fake;
}

const makeKey = (): object => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
};

type Payload = Record<string, unknown> & { grantId?: string; uid?: string };

type Stored = Map<string, Payload>;

/** Where a provider keeps what it gave out; it outlives a change of keys. */
function createAdapter(all: Stored) {
  return class {
    readonly #model: string;

    constructor(model: string) {
      this.#model = model;
    }

    async upsert(id: string, payload: Payload): Promise<void> {
      all.set(`${this.#model} ${id}`, payload);
    }

    async find(id: string): Promise<Payload | undefined> {
      return all.get(`${this.#model} ${id}`);
    }

    async findByUid(uid: string): Promise<Payload | undefined> {
      return [...all].find(([key, each]) => key.startsWith(`${this.#model} `) && each.uid === uid)?.[1];
    }

    async consume(id: string): Promise<void> {
      const payload = all.get(`${this.#model} ${id}`);
      if (payload !== undefined) payload["consumed"] = Math.floor(Date.now() / 1000);
    }

    async destroy(id: string): Promise<void> {
      all.delete(`${this.#model} ${id}`);
    }

    async revokeByGrantId(grantId: string): Promise<void> {
      for (const [key, each] of all) if (each.grantId === grantId) all.delete(key);
    }
  };
}
