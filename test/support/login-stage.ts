/** The stage `oidc-login` before a real OpenID Provider, and browsers that come to it. */
import { afterEach, beforeEach } from "vitest";
import { GatewayError, type Handler, type HeaderList, type Reply } from "../../core/plugin.ts";
import { problemReply, textReply } from "../../core/reply.ts";
import { oidcLogin } from "../../plugins/oidc-login.ts";
import { Browser, type Page } from "./browser.ts";
import { bodyText, buildStage, exchange, FakeHost } from "./harness.ts";
import { CLIENT, type OidcServer, startOidcServer } from "./oidc.ts";

export const APP = "https://app.example";
export const NAME = "__Host-sluice-session";
export const SECRET = "a secret of at least 32 characters";
export const XHR = { accept: "application/json", "sec-fetch-mode": "cors" };

/** What a test has of its own. */
export class LoginStage {
  readonly oidc: OidcServer;
  host: FakeHost;
  /** All hosts of the test. */
  readonly made: FakeHost[] = [];
  browser: Browser;
  handler!: Handler;
  /** What came to the upstream. */
  readonly seen: { path: string; headers: HeaderList; consumer: unknown }[] = [];
  reply: () => Reply = () => textReply(200, "the page");

  constructor(oidc: OidcServer) {
    this.oidc = oidc;
    this.host = this.newHost();
    this.browser = this.newBrowser();
  }

  newHost(): FakeHost {
    const one = new FakeHost();
    one.clock.time = Date.now(); // the provider's
    this.made.push(one);
    return one;
  }

  async build(options: object = {}): Promise<void> {
    this.handler = await buildStage(
      oidcLogin,
      {
        issuer: this.oidc.url,
        clientId: CLIENT.id,
        clientSecret: CLIENT.secret,
        secret: SECRET,
        identityHeaders: true,
        ...options,
      },
      (x) => {
        this.seen.push({ path: x.path + x.search, headers: x.headers.clone(), consumer: x.consumer });
        return this.reply();
      },
      this.host,
    );
  }

  newBrowser(): Browser {
    return new Browser((url, init) =>
      url.origin === APP ? this.#send(url, init) : fetch(url, { ...init, redirect: "manual" }),
    );
  }

  /** Follows a login up to where the provider sends the browser back. */
  async reachCallback(path = "/"): Promise<URL> {
    const page = await this.browser.open(APP + path, "/oauth2/callback");
    return new URL(page.headers.get("location")!);
  }

  /** Asks the stage as a server would. */
  async #send(url: URL, init: { method: string; headers: Headers }): Promise<Response> {
    const x = exchange({
      method: init.method,
      target: url.pathname + url.search,
      headers: [...init.headers].flat(),
      init: { scheme: "https", authority: url.host },
    });
    const made = await (async () => this.handler(x))().catch((error: unknown) => {
      if (error instanceof GatewayError) return problemReply(error, undefined, x.failureHeaders);
      throw error;
    });
    const headers = new Headers();
    const { raw } = made.headers;
    for (let i = 0; i < raw.length; i += 2) headers.append(raw[i]!, raw[i + 1]!);
    return new Response(await bodyText(made), { status: made.status, headers });
  }
}

/** Gives each test of a file a stage; `use` is told of it. */
export function eachLoginStage(use: (stage: LoginStage) => void): void {
  let stage: LoginStage;
  beforeEach(async () => {
    stage = new LoginStage(await startOidcServer([`${APP}/oauth2/callback`], [`${APP}/`]));
    use(stage);
    await stage.build();
  });
  afterEach(async () => {
    for (const { kept } of stage.made)
      for (const value of kept.values()) (value as { close?: () => void }).close?.();
    await stage.oidc.close();
  });
}

export const code = ({ status, body }: Page): string =>
  `${status} ${(JSON.parse(body) as Record<string, unknown>)["code"]}`;
